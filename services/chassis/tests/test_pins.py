"""Pinned keys and service identities: nobody on the bus is believed for what he answers or claims to be (rule S26)."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import amqp
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from services.chassis.bus import identity
from services.chassis.bus.rpc import Bus, ServiceClient, standalone
from services.chassis.context import Call
from services.chassis.errors import ServiceError
from services.chassis.keys import tokens
from services.chassis.keys.keystore import KeyStore
from services.chassis.keys.pins import PinnedKeys, write_pins
from services.chassis.keys.tokens import TokenVerifier
from services.chassis.service.inbox import fetch_events
from services.chassis.settings import Settings
from services.chassis.tests.messaging_world import SourceService, make_settings, prepare, running


def signed(private: Any, kid: str) -> str:
    now = int(time.time())
    claims = {"iss": "accounts", "aud": "tessera", "sub": "u", "sid": "s", "jti": str(now), "iat": now, "exp": now + 60}
    return jwt.encode(claims, private, algorithm="EdDSA", headers={"kid": kid, "typ": "at+jwt"})


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys", b"pass", tmp_path / "public")


def code_of(verifier: TokenVerifier, token: str) -> str:
    try:
        verifier.verify(token)
    except ServiceError as refusal:
        return refusal.code
    return "good"


def kids(pins: PinnedKeys) -> list[str]:
    return [key["kid"] for key in pins()]


def test_a_rotation_is_pinned_before_it_signs_and_seen_without_a_restart(store: KeyStore, tmp_path: Path) -> None:
    store.publish("tokens", "Ed25519")
    pins = PinnedKeys(tmp_path / "public" / "tokens.json")
    verifier = TokenVerifier(pins)
    old = store.active("tokens", "Ed25519")
    assert kids(pins) == [old.kid]
    for lead in (timedelta(hours=1), timedelta(0)):
        # By another process, as `tessera-admin rotate-keys` does it.
        new = KeyStore(tmp_path / "keys", b"pass", tmp_path / "public").rotate("tokens", "Ed25519", lead=lead)
        assert kids(pins)[-1] == new
    signing = store.active("tokens", "Ed25519")
    for key in (old, signing):
        assert verifier.verify(signed(key.private, key.kid))["sub"] == "u"
    KeyStore(tmp_path / "keys", b"pass", tmp_path / "public").revoke("tokens", old.kid)
    assert old.kid not in kids(pins)
    deadline = time.monotonic() + 5
    while code_of(verifier, signed(old.private, old.kid)) != "token.invalid":
        assert time.monotonic() < deadline
    assert verifier.verify(signed(signing.private, signing.kid))["sub"] == "u"


def test_no_private_half_is_pinned_and_nothing_that_is_not_published(store: KeyStore, tmp_path: Path) -> None:
    store.publish("tokens", "Ed25519")
    store.rotate("fingerprints", "Ed25519")
    assert [path.name for path in (tmp_path / "public").iterdir()] == ["tokens.json"]
    assert all("d" not in key for key in json.loads((tmp_path / "public" / "tokens.json").read_text())["keys"])
    assert (tmp_path / "public" / "tokens.json").stat().st_mode & 0o777 == 0o600


def test_keys_that_are_not_there_yet_are_waited_for_and_a_broken_file_changes_nothing(
    store: KeyStore, tmp_path: Path
) -> None:
    path = tmp_path / "public" / "tokens.json"
    pins = PinnedKeys(path)
    with pytest.raises(ServiceError) as refusal:
        pins()
    assert refusal.value.kind == "unavailable"
    store.publish("tokens", "Ed25519")
    good = pins()
    for broken in (b"{", b"[]", b'{"keys": [1]}', b""):
        path.write_bytes(broken)
        assert pins() == good
    path.unlink()
    assert pins() == good
    store.publish("tokens", "Ed25519")
    assert pins() == good


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_may_write_is_not_believed(store: KeyStore, tmp_path: Path, mode: int) -> None:
    """Issue 6.3: who can write the pinned keys can mint tokens."""
    path = tmp_path / "public" / "tokens.json"
    write_pins(path, [{"kid": "rogue"}])
    path.chmod(mode)
    with pytest.raises(ServiceError):
        PinnedKeys(path)()


# --- on the bus ------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["embedded", "rabbitmq"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    uri = "embedded://" if request.param == "embedded" else str(request.getfixturevalue("vhost"))
    made = make_settings(tmp_path, uri)
    prepare(made, "source")
    with running(made, SourceService):
        yield made


def refused(bus: Bus, caller: str | None, call: Call | None = None, **more: Any) -> bool:
    call = call or Call(deadline=time.time() + 5)
    try:
        bus.call("source", "read_events", call, {"after": 0, "limit": 1, **more}, caller=caller)
    except ServiceError as refusal:
        return refusal.code == "service.caller_refused"
    return False


def test_only_known_readers_read_a_log(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 6.3: anybody on the bus could read every event of every company."""
    identity.use(settings, ["sink", "stranger"])
    bus = Bus.of(settings.amqp_uri)
    try:
        assert not refused(bus, "sink")
        assert refused(bus, None)
        assert refused(bus, "stranger"), "a service with a key of its own, but no reader"
        assert refused(bus, "source"), "not even itself"
        assert refused(bus, None, Call(token="x" * 20, deadline=time.time() + 5)), "a user's token is none"
        good = identity.sign
        forgeries = {
            "signed by another key": lambda *a: jwt.encode(
                jwt.decode(str(good(*a)), options={"verify_signature": False}),
                ed25519.Ed25519PrivateKey.generate(), algorithm="EdDSA",
                headers=jwt.get_unverified_header(str(good(*a))),
            ),
            "for another service": lambda caller, called, *a: good(caller, "accounts", *a),
            "for another method": lambda caller, called, method, *a: good(caller, called, "ping", *a),
            "for another call": lambda a, b, c, correlation, e: good(a, b, c, "other", e),
            "for another request": lambda a, b, c, d, request: good(a, b, c, d, {"after": 0, "limit": 0}),
            "a stranger who says he is the reader": lambda caller, *a: _renamed(str(good("stranger", *a)), "sink"),
            "no token at all": lambda *a: "nonsense",
            "a minute old": lambda *a: _again(str(good(*a)), exp=time.time() - 30, iat=time.time() - 60),
            "without an end": lambda *a: _again(str(good(*a)), exp=None),
            "of another kind of token": lambda *a: _again(str(good(*a)), typ=tokens.TYPE),
            "by a key that is not pinned": lambda *a: _again(str(good(*a)), kid="unknown"),
            "by the key of another purpose": lambda *a: _again(str(good(*a)), purpose=tokens.PURPOSE),
            "out of the folder": lambda *a: _renamed(str(good("stranger", *a[1:])), "../source/stranger"),
        }  # fmt: skip
        for name, forge in forgeries.items():
            monkeypatch.setattr(identity, "sign", forge)
            assert refused(bus, "sink"), name
        monkeypatch.setattr(identity, "sign", good)
        assert not refused(bus, "sink")
        claims = jwt.decode(str(good("sink", "source", "ping", "1", {})), options={"verify_signature": False})
        assert claims["exp"] - claims["iat"] <= 60, "a name that was caught is soon worth nothing"
        assert fetch_events(bus, "source", 0, reader="sink")["last_sequence"] == 0
    finally:
        bus.release()


def test_what_a_service_answers_for_counts_from_it_alone_and_for_a_user(settings: Settings) -> None:
    """Issue 6.1: with any login, a proof of possession that nobody checked could be confirmed on the bus."""
    identity.use(settings, ["sink", "stranger"])
    owner = KeyStore.from_settings(settings, "accounts")
    owner.publish(tokens.PURPOSE, "Ed25519")
    key = owner.active(tokens.PURPOSE, "Ed25519")
    user = Call(token=signed(key.private, key.kid), deadline=time.time() + 5)
    bus = Bus.of(settings.amqp_uri)

    def confirm(caller: str | None, call: Call, vouches: tuple[str, ...] = ("confirm",)) -> str:
        try:
            return str(ServiceClient(lambda: bus, "source", lambda: caller, vouches).confirm(call, thing=1)["sub"])
        except ServiceError as refusal:
            return refusal.code

    try:
        assert confirm("sink", user) == "u"
        assert confirm(None, user) == "service.caller_refused"
        assert confirm("stranger", user) == "service.caller_refused"
        assert confirm("sink", user, ()) == "service.caller_refused", "it answers for nothing it did not declare"
        assert confirm("sink", Call(deadline=time.time() + 5)) == "token.missing", "its word is no login"
    finally:
        bus.release()


def _renamed(token: str, name: str) -> str:
    claims = {**jwt.decode(token, options={"verify_signature": False}), "iss": name}
    store = identity._stores["stranger"]
    key = store.active(identity.PURPOSE, "Ed25519")
    return jwt.encode(claims, key.private, algorithm="EdDSA", headers=jwt.get_unverified_header(token))


def _again(
    token: str, *, kid: str = "", typ: str = identity.TYPE, purpose: str = identity.PURPOSE, **claims: Any
) -> str:
    """Sign the claims of the reader's own token anew, with its own key unless another purpose's is asked for."""
    said = {**jwt.decode(token, options={"verify_signature": False}), **claims}
    store = identity._stores["sink"]
    store.publish(purpose, "Ed25519")
    key = store.active(purpose, "Ed25519")
    said = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(said, key.private, algorithm="EdDSA", headers={"kid": kid or key.kid, "typ": typ})


def test_a_reader_goes_on_through_a_rotation_of_its_key(settings: Settings) -> None:
    identity.use(settings, ["sink"])
    bus = Bus.of(settings.amqp_uri)
    try:
        assert not refused(bus, "sink")
        KeyStore.from_settings(settings, "sink").rotate(identity.PURPOSE, "Ed25519")
        assert not refused(bus, "sink")
    finally:
        bus.release()


def test_a_rogue_consumer_that_answers_for_accounts_mints_nothing(vhost: str, tmp_path: Path) -> None:
    """Issue 6.3: a consumer of accounts' queues gave out keys of its own and minted 100,000 licenses."""
    rogue = ed25519.Ed25519PrivateKey.generate()
    jwk = {**jwt.algorithms.OKPAlgorithm.to_jwk(rogue.public_key(), as_dict=True), "kid": "rogue"}
    settings = make_settings(tmp_path, vhost)
    prepare(settings, "source")
    asked: list[str] = []
    stop = threading.Event()
    connection = _connect(vhost)
    channel = connection.channel()
    channel.exchange_declare("nameko-rpc", "topic", durable=True, auto_delete=False)
    for key in ("accounts.leaf.*", "accounts.*"):
        queue = channel.queue_declare(f"rogue-{uuid.uuid4()}", auto_delete=False).queue
        channel.queue_bind(queue, "nameko-rpc", key)

        def answer(message: Any) -> None:
            asked.append(message.delivery_info["routing_key"])
            body = json.dumps({"result": {"keys": [jwk]}, "error": None})
            reply = amqp.Message(
                body, content_type="application/json", correlation_id=message.properties["correlation_id"]
            )
            channel.basic_publish(reply, exchange="", routing_key=message.properties["reply_to"])

        channel.basic_consume(queue, no_ack=True, callback=answer)

    def drain() -> None:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                connection.drain_events(timeout=0.2)

    thread = threading.Thread(target=drain)
    thread.start()
    try:
        owner = KeyStore.from_settings(settings, "accounts")
        with running(settings, SourceService), standalone(vhost) as to:
            token = signed(rogue, "rogue")

            def whoami(token: str) -> str:
                try:
                    return str(to("source").whoami(Call(token=token, deadline=time.time() + 5))["sub"])
                except ServiceError as refusal:
                    return refusal.code

            # Before there are keys nobody is believed, and nobody is asked.
            assert whoami(token) == "service.unavailable"
            owner.publish(tokens.PURPOSE, "Ed25519")
            own = owner.active(tokens.PURPOSE, "Ed25519")
            assert whoami(token) == "token.invalid"
            assert whoami(signed(rogue, own.kid)) == "token.invalid"
            assert whoami(signed(own.private, own.kid)) == "u"
        assert asked == []
    finally:
        stop.set()
        thread.join()
        connection.close()


def _connect(uri: str) -> Any:
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(uri)
    connection = amqp.Connection(
        f"{parts.hostname}:{parts.port}",
        unquote(parts.username or "guest"),
        unquote(parts.password or "guest"),
        virtual_host=unquote(parts.path[1:]) or "/",
    )
    connection.connect()
    return connection
