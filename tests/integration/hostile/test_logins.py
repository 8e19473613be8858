"""Logins that are none: forged and altered tokens, and HTTP Basic at the device door with what is somebody else's."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.integration.http_client import Answer
from tests.integration.tenancy.callers import Caller
from tests.integration.tenancy.makers import UNBUILT
from tests.integration.tenancy.people import PASSWORD, StolenKey, claims_of, forge, register
from tests.integration.tenancy.raw import calm, request, send_raw
from tests.integration.tenancy.world import World

pytestmark = pytest.mark.usefixtures("no_surprise")


def encoded(value: Any) -> str:
    """Return a part of a token."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def forged(world: World) -> dict[str, str]:
    """Return tokens that must not be believed, each wrong in one way: all say that their holder is staff."""
    good, key = world.stranger.tokens["access_token"], StolenKey(world.installation.folder)
    header, payload, signature = good.split(".")
    now = int(time.time())
    claims = {**claims_of(good), "staff": True, "iat": now, "exp": now + 900}
    own = ed25519.Ed25519PrivateKey.generate()
    public = key.private.public_key()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": encoded(own.public_key().public_bytes_raw())}
    own_claims = forge(claims, own, key.kid)

    def unsigned(algorithm: str) -> str:
        return f"{encoded({'alg': algorithm, 'typ': 'at+jwt', 'kid': key.kid})}.{encoded(claims)}."

    def hashed(secret: bytes) -> str:
        text = f"{encoded({'alg': 'HS256', 'typ': 'at+jwt', 'kid': key.kid})}.{encoded(claims)}"
        return f"{text}.{encoded(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"

    headers: dict[str, dict[str, Any]] = {
        "key in the header": {"jwk": jwk},
        "address of the key": {"jku": "http://127.0.0.1:9/keys"},
        "certificate in the header": {"x5c": ["AAAA"]},
        "path as key id": {"kid": "../../../etc/passwd"},
        "no key id": {"kid": ""},
        "huge key id": {"kid": "k" * 4000},
    }
    with_own_key = {name: forge(claims, own, **{"kid": key.kid, **more}) for name, more in headers.items()}
    claimed: dict[str, dict[str, Any]] = {
        "audience": {"aud": "elsewhere"},
        "issuer": {"iss": "licensing"},
        "expired": {"exp": now - 60},
        "not yet": {"nbf": now + 600},
        "expiry no number": {"exp": "tomorrow"},
    }
    wrong_claims = {name: key.sign({**claims, **more}) for name, more in claimed.items()}
    lacking = {f"without {name}": key.sign({n: v for n, v in claims.items() if n != name}) for name in ("exp", "sub")}
    return {
        "payload changed": f"{header}.{encoded(claims)}.{signature}",
        "signature cut": f"{header}.{payload}.{signature[:-8]}",
        "no signature": f"{header}.{payload}.",
        "alg none": unsigned("none"),
        "alg None": unsigned("None"),
        "HS256 with the public key": hashed(raw),
        "HS256 with the public PEM": hashed(pem),
        "another key": own_claims,
        **with_own_key,
        **wrong_claims,
        **lacking,
        "another type": key.sign(claims, typ="JWT"),
        "type of an id token": key.sign(claims, typ="id+jwt"),
        "four parts": f"{good}.x",
        "five parts": f"{good}.x.y",
        "empty parts": "..",
        "no base64": "!!.!!.!!",
        "JSON that is none": f"{encoded(b'{')}.{encoded(b'{')}.{signature}",
        "header no object": f"{encoded([])}.{payload}.{signature}",
        "refresh token": world.stranger.tokens["refresh_token"],
        "API token of nobody": f"tsk_{'A' * 43}",
        "API token cut": world.tokens["read"][:-1],
        "API token in capitals": world.tokens["read"].upper(),
        "very long": "a" * 8000,
    }


def test_a_forged_token_opens_nothing(world: World) -> None:
    base, hardware = world.installation.base, world.things["certified hardware"]
    for name, token in forged(world).items():
        for path in ("/v1/staff/users", "/v1/me", f"/device/v1/{hardware}/license-file"):
            response = requests.get(base + path, headers={"Authorization": f"Bearer {token}"}, timeout=30)
            answer = calm(Answer(response), name, path)
            assert answer.status == 401, (name, path, answer.content)
            assert answer.headers["WWW-Authenticate"]
            assert b"Traceback" not in answer.content


def test_a_token_says_nothing_by_another_scheme(world: World) -> None:
    token = world.owner.tokens["access_token"]
    schemes = (
        f"bearer{token}", f"Token {token}", f"Basic {token}", token, f"Bearer {token} x", f"Bearer {token},{token}",
        "Bearer", "Bearer ", f"Bearer  {token}\t", f'Bearer "{token}"', f"Digest {token}", "Basic", "Basic :",
        "Basic ====",
    )  # fmt: skip
    for scheme in schemes:
        answer = send_raw(world.installation.base, request("GET", "/v1/staff/users", f"Authorization: {scheme}"))
        answer.check()
        # White space around a token is none of it; whoever is let in is still no staff.
        assert answer.status in (401, 403), (scheme, answer)
    for target in (f"/v1/me?access_token={token}", f"/v1/me?token={token}"):
        assert send_raw(world.installation.base, request("GET", target)).status == 401
    assert send_raw(world.installation.base, request("GET", "/v1/me", f"Cookie: access_token={token}")).status == 401


def test_a_withdrawn_token_and_an_ended_session_stay_dead(world: World) -> None:
    made = world.owner.post("/v1/me/tokens", {"name": "short", "scopes": ["read"]}).expect(201)
    caller = world.installation.person()
    caller.session.headers["Authorization"] = f"Bearer {made['token']}"
    caller.get("/v1/me").expect(200)
    world.owner.send("DELETE", f"/v1/me/tokens/{made['id']}").expect(204)
    caller.get("/v1/me").expect(401)
    session = world.login("member")
    refresh = session.tokens["refresh_token"]
    session.send("DELETE", "/v1/sessions/current").expect(204)
    session.get("/v1/me").expect(401)
    session.post("/v1/sessions/refreshes", {"refresh_token": refresh}).refused(401, "accounts.refresh_invalid")


# --- the device door


DOOR = ("GET", "license-file", None), ("PUT", "license-return", "$return"), ("POST", "certificate-request", "$request")


def knock(world: World, hardware_id: str, login: str, password: str, route: Any = DOOR[0]) -> requests.Response:
    """Come to the device door as a device does."""
    method, page, text = route
    media = {"license-return": "application/xml", "certificate-request": "application/x-pem-file"}.get(page)
    credentials = base64.b64encode(f"{login}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}", **({"Content-Type": media} if media else {})}
    data = world.things[text[1:]].encode() if text else None
    url = f"{world.installation.base}/device/v1/{hardware_id}/{page}"
    return requests.request(method, url, data=data, headers=headers, timeout=30)


def shape(response: requests.Response, hardware_id: str) -> tuple[Any, ...]:
    """Return an answer without what differs from request to request."""
    headers = {name: value for name, value in response.headers.items() if name not in ("Date", "X-Request-Id")}
    return response.status_code, headers, response.text.replace(hardware_id, "…")


def test_a_strangers_login_gets_nothing_for_a_device_of_the_owner(world: World) -> None:
    hardware = {
        "license-file": world.things["certified hardware"],
        "license-return": world.things["returned hardware"],
        "certificate-request": world.things["device hardware"],
    }
    for route in DOOR:
        named = hardware[route[1]]
        for name in ("stranger", "neighbor"):
            foreign = knock(world, named, world.email(name), PASSWORD, route)
            assert foreign.headers["X-Error-Code"] in ("devices.device_not_found", "licensing.return_other_device")
            if route[1] != "license-return":
                unknown = knock(world, UNBUILT, world.email(name), PASSWORD, route)
                assert shape(foreign, named) == shape(unknown, UNBUILT)
            spelled = knock(world, named.replace("-", "").lower(), world.email(name), PASSWORD, route)
            assert spelled.status_code == foreign.status_code
    assert knock(world, hardware["license-file"], world.email("owner"), PASSWORD).status_code == 200
    assert knock(world, hardware["license-file"], world.email("guest"), PASSWORD).status_code == 200


@pytest.mark.parametrize(
    ("login", "password"),
    [
        ("owner", "not the password"), ("owner", ""), ("", PASSWORD), ("owner", "$token of nobody"), ("nobody",
        PASSWORD),
        ("owner", "$read"), ("stranger", "$device"), ("locked", PASSWORD), ("owner", "$access"), ("owner",
        PASSWORD + "\0"),
    ],
)  # fmt: skip
def test_the_door_lets_in_by_a_login_or_a_token_for_devices_only(world: World, login: str, password: str) -> None:
    secrets = {
        "$token of nobody": f"tsk_{'A' * 43}",
        "$read": world.tokens["read"],
        "$device": world.tokens["device"],
        "$access": world.owner.tokens["access_token"][:500],
    }
    address = world.email(login) if hasattr(world, login) and login else f"{login}@tenants.example" if login else ""
    response = knock(world, world.things["certified hardware"], address, secrets.get(password, password))
    assert response.status_code in (401, 403), response.text
    assert response.headers["X-Error-Code"].startswith(("accounts.", "token.")), response.headers
    assert response.text.count("\n") == 1
    if response.status_code == 401:
        assert response.headers["WWW-Authenticate"].startswith("Basic")


def test_basic_opens_the_device_door_and_no_other(world: World) -> None:
    login = (world.email("owner"), PASSWORD)
    for path in ("/v1/me", "/v1/devices", f"/v1/devices/{world.things['device']}"):
        calm(Answer(requests.get(world.installation.base + path, auth=login, timeout=30))).refused(401, "token.missing")


def test_credentials_that_are_none_are_refused(world: World, callers: dict[str, Caller]) -> None:
    target = f"/device/v1/{world.things['certified hardware']}/license-file"
    odd = (b"", b"\xff\xfe", b"no colon", b":", b"a:", b":b", b"a" * 9000 + b":b", b"a:b:c" * 50, b"\x00:\x00")
    for value in (*(base64.b64encode(text).decode() for text in odd), "====", "!", "é"):
        answer = send_raw(world.installation.base, request("GET", target, f"Authorization: Basic {value}"))
        answer.check()
        assert answer.status in (401, 422, 400, 431), (value, answer)
    for hardware_id in ("x", "00-90-33", "0" * 500, "%20", "٠٠", "00-90-33-08-20-2G", "ff-ff-ff-ff-ff-ff"):
        came = callers["own admin"].send("GET", f"/device/v1/{hardware_id}/license-file")
        assert calm(came, hardware_id).status in (404, 422), came.content


def test_the_door_slows_down_who_guesses_and_not_who_is_known(world: World) -> None:
    """Ten wrong passwords, then the door waits; who guesses elsewhere locks nobody out of a running session (S3)."""
    victim = register(world.installation, "Viktor", f"Victim{uuid.uuid4().hex[:6]}")
    address, codes = victim.tokens["user"]["email"], []
    for number in range(13):
        response = knock(world, UNBUILT, address, f"guess {number}")
        codes.append(response.headers["X-Error-Code"])
        if response.status_code == 429:
            assert int(response.headers["Retry-After"]) >= 1
            assert response.text.count("\n") == 1
    assert codes[:9] == ["accounts.login_failed"] * 9
    assert codes[-1] == "accounts.too_many_attempts"
    # `Forwarded` is not the header of our proxy; whose X-Forwarded-For counts is tested in the gateway.
    spoofed = {"Forwarded": "for=203.0.113.7", "X-Real-IP": "203.0.113.7"}
    body = {"email": address, "password": "guess"}
    guess = requests.post(f"{world.installation.base}/v1/sessions", json=body, headers=spoofed, timeout=30)
    assert guess.status_code == 429, guess.text
    victim.get("/v1/me").expect(200)
