"""Keys: made once, good after a rotation, never readable without the passphrase; tokens: one algorithm, known keys."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519

from services.chassis.errors import ServiceError, unavailable
from services.chassis.keys.keystore import KeyStore, KeyStoreError
from services.chassis.keys.tokens import TokenVerifier

NEEDED = ("exp", "iat", "sub", "sid", "jti")
"""What a token must say; one without an end would be good for ever."""


def _claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": "accounts",
        "aud": "tessera",
        "sub": "u",
        "sid": "s",
        "jti": "j",
        "iat": now,
        "exp": now + 60,
        **changes,
    }


def _token(store: KeyStore, claims: dict[str, Any], **headers: Any) -> str:
    key = store.active("token", "Ed25519")
    return jwt.encode(claims, key.private, algorithm="EdDSA", headers={"kid": key.kid, "typ": "at+jwt", **headers})


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys", b"pass")


@pytest.fixture
def verifier(store: KeyStore) -> TokenVerifier:
    return TokenVerifier(lambda: store.public_jwks("token", "Ed25519"))


def test_a_second_process_sees_the_same_key(store: KeyStore, tmp_path: Path) -> None:
    kid, _ = store.sign("token", "Ed25519", b"x")
    assert KeyStore(tmp_path / "keys", b"pass").active("token", "Ed25519").kid == kid
    with pytest.raises(KeyStoreError, match="the passphrase is another one"):
        KeyStore(tmp_path / "keys", b"wrong").active("token", "Ed25519")


def test_a_rotation_by_another_process_is_seen_at_once_and_files_are_read_only_when_they_changed(
    store: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [store.sign("token", "Ed25519", b"x")[0] for _ in range(2)]
    kid = KeyStore(tmp_path / "keys", b"pass").rotate("token", "Ed25519")
    assert kid not in first
    assert store.sign("token", "Ed25519", b"x")[0] == kid
    assert [jwk["kid"] for jwk in store.public_jwks("token", "Ed25519")] == [kid, first[0]]
    os.utime(tmp_path / "keys", (1, 1))
    store.active("token", "Ed25519")
    monkeypatch.setattr("services.chassis.keys.keyfiles.serialization", None)
    assert len(store.public_jwks("token", "Ed25519")) == 2
    assert store.sign("token", "Ed25519", b"x")[0] == kid


def test_key_files_are_private_and_encrypted(store: KeyStore, tmp_path: Path) -> None:
    store.active("file", "ES256")
    store.seal(b"x", "context")
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    for path in (tmp_path / "keys").glob("*.*"):
        if path.name != ".lock":
            assert path.stat().st_mode & 0o077 == 0, path
            assert b"ENCRYPTED PRIVATE KEY" in path.read_bytes()


def test_sealed_bytes_open_only_in_their_context(store: KeyStore, tmp_path: Path) -> None:
    sealed = store.seal(b"secret", "row:1")
    assert KeyStore(tmp_path / "keys", b"pass").unseal(sealed, "row:1") == b"secret"
    with pytest.raises(InvalidTag):
        store.unseal(sealed, "row:2")


def test_tokens_signed_before_a_rotation_stay_good(store: KeyStore, verifier: TokenVerifier) -> None:
    old = _token(store, _claims())
    store.rotate("token", "Ed25519")
    new = _token(store, _claims())
    assert verifier.verify(old)["sub"] == verifier.verify(new)["sub"] == "u"
    assert [jwk["state"] for jwk in store.public_jwks("token", "Ed25519")] == ["active", "verify-only"]


def test_a_rotation_is_seen_by_other_processes_and_no_token_is_ever_refused(store: KeyStore, tmp_path: Path) -> None:
    """Two processes sign, two check, a third one rotates: each checks each other's tokens at any moment."""
    signers = [store, KeyStore(tmp_path / "keys", b"pass")]
    verifiers = [TokenVerifier(lambda signer=signer: jwks(signer)) for signer in signers]  # type: ignore[misc]
    first = _token(store, _claims())
    old = store.active("token", "Ed25519").kid
    new = KeyStore(tmp_path / "keys", b"pass").rotate("token", "Ed25519", lead=timedelta(seconds=2))
    seen: list[set[str]] = [set(), set()]
    deadline = time.monotonic() + 10
    while not all(
        seen[number] and signer.active("token", "Ed25519").kid == new for number, signer in enumerate(signers)
    ):
        assert time.monotonic() < deadline
        for number, signer in enumerate(signers):
            token = _token(signer, _claims(jti=str(time.monotonic_ns())))
            seen[number].add(jwt.get_unverified_header(token)["kid"])
            for verifier in verifiers:
                assert verifier.verify(token)["sub"] == verifier.verify(first)["sub"] == "u"
                # Somebody tries keys that nobody has, so that the keys were fetched just now.
                with pytest.raises(ServiceError):
                    verifier.verify(_token(store, _claims(), kid="x"))
        time.sleep(0.02)
    for verifier in verifiers:
        assert verifier.verify(_token(store, _claims(jti="last")))["sub"] == "u"
    assert all(old in kids for kids in seen)
    assert [(jwk["kid"], jwk["state"]) for jwk in jwks(signers[1])] == [(new, "active"), (old, "verify-only")]


def jwks(store: KeyStore) -> list[dict[str, Any]]:
    return store.public_jwks("token", "Ed25519")


def test_a_published_key_does_not_sign_yet(store: KeyStore) -> None:
    old = store.active("token", "Ed25519").kid
    new = store.rotate("token", "Ed25519", lead=timedelta(hours=1))
    assert store.active("token", "Ed25519").kid == old
    assert [(key.kid, state) for key, state in store.states("token")] == [(old, "active"), (new, "published")]


def test_a_rotation_without_lead_ends_the_keys_that_wait(store: KeyStore) -> None:
    """Found by a newcomer: a key made before with a lead, perhaps stolen too, signed again after the rotation."""
    old = store.active("token", "Ed25519").kid
    waiting = store.rotate("token", "Ed25519", lead=timedelta(hours=1))
    elsewhere = store.rotate("other", "Ed25519", lead=timedelta(hours=1))
    new = store.rotate("token", "Ed25519")
    assert [(key.kid, state) for key, state in store.states("token")] == [
        (old, "verify-only"),
        (new, "active"),
        (waiting, "revoked"),
    ]
    assert waiting not in [jwk["kid"] for jwk in jwks(store)]
    assert elsewhere not in store.revoked("other")
    later = store.rotate("token", "Ed25519", lead=timedelta(hours=1))
    assert [state for key, state in store.states("token") if key.kid in (new, later)] == ["active", "published"]


def test_a_revoked_key_is_gone_and_the_signing_one_cannot_be_revoked(store: KeyStore, tmp_path: Path) -> None:
    old = store.active("token", "Ed25519").kid
    with pytest.raises(KeyStoreError, match="rotate first"):
        store.revoke("token", old)
    new = store.rotate("token", "Ed25519")
    KeyStore(tmp_path / "keys", b"pass").revoke("token", old)
    assert [jwk["kid"] for jwk in jwks(store)] == [new]
    for act in (lambda: store.named("token", old), lambda: store.revoke("token", "nonsense")):
        with pytest.raises(KeyStoreError, match="There is no key"):
            act()


def test_a_good_token_ends_with_its_time(
    store: KeyStore, verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = _token(store, _claims())
    verifier.verify(token)
    later = time.time() + 120
    monkeypatch.setattr("services.chassis.keys.tokens.time.time", lambda: later)
    with pytest.raises(ServiceError) as refusal:
        verifier.verify(token)
    assert refusal.value.code == "token.expired"


def test_a_revoked_key_is_believed_no_longer_though_its_tokens_are_remembered(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys() -> list[dict[str, Any]]:
        if away:
            raise unavailable()
        return jwks(store)

    start = time.monotonic()
    monkeypatch.setattr("services.chassis.keys.tokens.time.monotonic", lambda: start)
    away, verifier = False, TokenVerifier(keys)
    remembered, kept = _token(store, _claims()), _token(store, _claims(jti="kept"))
    old = store.active("token", "Ed25519").kid
    verifier.verify(remembered)
    store.rotate("token", "Ed25519")
    new = _token(store, _claims(jti="new"))
    store.revoke("token", old)
    assert verifier.verify(remembered)["sub"] == "u"
    away = True
    monkeypatch.setattr("services.chassis.keys.tokens.time.monotonic", lambda: start + 11)
    assert verifier.verify(remembered)["sub"] == "u"
    away = False
    monkeypatch.setattr("services.chassis.keys.tokens.time.monotonic", lambda: start + 22)
    for token in (remembered, kept, remembered):
        with pytest.raises(ServiceError) as refusal:
            verifier.verify(token)
        assert refusal.value.code == "token.invalid"
    assert verifier.verify(new)["jti"] == "new"


def test_forged_tokens_are_refused(store: KeyStore, verifier: TokenVerifier) -> None:
    stranger = ed25519.Ed25519PrivateKey.generate()
    kid = store.active("token", "Ed25519").kid
    good = _token(store, _claims())
    head, payload, signature = good.split(".")
    forged = {
        "other key": jwt.encode(_claims(), stranger, algorithm="EdDSA", headers={"kid": kid, "typ": "at+jwt"}),
        "unknown kid": jwt.encode(_claims(), stranger, algorithm="EdDSA", headers={"kid": "x", "typ": "at+jwt"}),
        "shared secret": jwt.encode(_claims(), "s" * 32, algorithm="HS256", headers={"kid": kid, "typ": "at+jwt"}),
        "no algorithm": jwt.encode(_claims(), "", algorithm="none", headers={"kid": kid, "typ": "at+jwt"}),
        "other type": _token(store, _claims(), typ="JWT"),
        "other audience": _token(store, _claims(aud="else")),
        "other issuer": _token(store, _claims(iss="else")),
        **{f"no {name}": _token(store, {k: v for k, v in _claims().items() if k != name}) for name in NEEDED},
        "cut": f"{head}.{payload}.{signature[:-2]}",
        "not a token": "abc",
        "words": "ä b c",
    }
    for name, token in forged.items():
        with pytest.raises(ServiceError) as refusal:
            verifier.verify(token)
        assert (name, refusal.value.code) == (name, "token.invalid")
    with pytest.raises(ServiceError) as refusal:
        verifier.verify(_token(store, _claims(exp=int(time.time()) - 60)))
    assert refusal.value.code == "token.expired"


def test_a_pinned_key_of_another_kind_checks_no_token() -> None:
    """One algorithm: PyJWT takes Ed448 for EdDSA too (RFC 8725)."""
    other = ed448.Ed448PrivateKey.generate()
    jwk = {**jwt.algorithms.OKPAlgorithm.to_jwk(other.public_key(), as_dict=True), "kid": "other"}
    token = jwt.encode(_claims(), other, algorithm="EdDSA", headers={"kid": "other", "typ": "at+jwt"})
    with pytest.raises(ServiceError) as refusal:
        TokenVerifier(lambda: [jwk]).verify(token)
    assert refusal.value.code == "token.invalid"


def test_what_is_sealed_twice_never_looks_the_same(store: KeyStore) -> None:
    """A nonce that comes twice under one key gives both texts away (AES-GCM)."""
    sealed = [store.seal(b"secret", "mails:1") for _ in range(50)]
    assert len({one[4:16] for one in sealed}) == len({one[16:] for one in sealed}) == 50


def test_each_purpose_is_sealed_by_a_key_of_its_own_and_what_was_sealed_before_opens(
    store: KeyStore, tmp_path: Path
) -> None:
    """Issue 6.3: one raw key sealed everything."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    contexts = ("mails:1", "activation_key:1")
    sealed = {context: store.seal(b"secret", context) for context in contexts}
    private = serialization.load_pem_private_key((tmp_path / "keys" / "sealing.key").read_bytes(), b"pass")
    root = private.private_numbers().private_value.to_bytes(32, "big")  # type: ignore[union-attr]
    digest = hashes.Hash(hashes.SHA256())
    digest.update(b"tessera-sealing-v1" + root)
    yesterday, nonce = AESGCM(digest.finalize()), b"TSv2" + b"n" * 8
    for context in contexts:
        assert store.unseal(nonce + yesterday.encrypt(nonce, b"old", context.encode()), context) == b"old"
        with pytest.raises(InvalidTag):
            yesterday.decrypt(sealed[context][4:16], sealed[context][16:], context.encode())
    keys = [store._opened_sealer()._key(context) for context in contexts]
    assert keys[0].decrypt(sealed["mails:1"][4:16], sealed["mails:1"][16:], b"mails:1") == b"secret"
    with pytest.raises(InvalidTag):
        keys[1].decrypt(sealed["mails:1"][4:16], sealed["mails:1"][16:], b"mails:1")
    for cut in (b"", b"TSv2", sealed["mails:1"][:-1]):
        with pytest.raises((InvalidTag, ValueError)):
            store.unseal(cut, "mails:1")
