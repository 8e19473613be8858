"""The device authority itself: root and issuing certificates on first use, revocation list, verification keys."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection

from services.chassis.data.db import Database, Unit
from services.chassis.data.idempotency import database_time
from services.chassis.fields import EmptyRequest
from services.chassis.keys.keystore import Key, KeyStore
from services.chassis.service.declare import query
from services.chassis.settings import Settings
from services.licensing.api import files as api
from services.licensing.certificates import profile
from services.licensing.store import certificates as store
from services.licensing.store.certificates import StoredAuthority, StoredList

ROOT_KEY, ISSUING_KEY, FILE_KEY, TEXT_KEY = "device-root", "device-issuing", "license-files", "license-text"
CRL_EVERY = timedelta(days=1)
CRL_NEXT_UPDATE = timedelta(days=7)
CRL_OVERLAP = timedelta(minutes=1)
"""Longer than any transaction lasts."""
_log = structlog.get_logger(__name__)


def crl_url(settings: Settings) -> str:
    """Return where devices' certificates say that the revocation list is: the gateway, as the outside knows it."""
    return f"{settings.api_url}/v1/device-ca.crl"


def private(key: Key) -> ec.EllipticCurvePrivateKey:
    """Return a key's private part, which in this room is always on P-256."""
    if not isinstance(key.private, ec.EllipticCurvePrivateKey):
        raise TypeError(f"The key {key.kid} is not on P-256.")
    return key.private


def issuing_authority(database: Database, keystore: KeyStore) -> tuple[Key, x509.Certificate]:
    """Return the issuing authority's key and certificate, made under the root on first use.

    The root's key is touched only here; once the issuing authority exists, its file can be taken off the machine.
    """
    key = keystore.active(ISSUING_KEY, "ES256")
    found = database.read(lambda connection: store.find_authority(connection, key.kid))
    if found is None:
        root_key = keystore.active(ROOT_KEY, "ES256")
        found = database.write(lambda unit: _make_authority(unit, key, root_key))
        _log.info("device_authority_created", kid=key.kid, root=root_key.kid)
    return key, x509.load_pem_x509_certificate(found.certificate.encode())


def _make_authority(unit: Unit, key: Key, root_key: Key) -> StoredAuthority:
    """Make the issuing authority, and the root if it is the first one; what another process stored before counts."""
    connection, now = unit.connection, unit.now
    if store.find_authority(connection, root_key.kid) is None:
        made = profile.pem(profile.make_root(private(root_key), now))
        store.insert_authority(connection, StoredAuthority(root_key.kid, store.ROOT, made, now))
    root = x509.load_pem_x509_certificate(store.authority(connection, root_key.kid).certificate.encode())
    issuing = profile.make_issuing(private(key).public_key(), key.kid[-8:], root, private(root_key), now)
    store.insert_authority(connection, StoredAuthority(key.kid, store.ISSUING, profile.pem(issuing), now))
    return store.authority(connection, key.kid)


def chain(connection: Connection, kid: str) -> str:
    """Return the PEM of an issuing authority and of its root."""
    issuing = store.authority(connection, kid)
    issuer = x509.load_pem_x509_certificate(issuing.certificate.encode())
    for row in store.authorities(connection, store.ROOT):
        root = x509.load_pem_x509_certificate(row.certificate.encode())
        if _issued_by(issuer, root):
            return issuing.certificate + row.certificate
    raise LookupError(f"The root of the authority {kid} is not stored.")


@query(request=EmptyRequest, answer=api.Document, public=True)
def device_ca(database: Database, keystore: KeyStore) -> dict[str, str]:
    """Publish the device authority's certificates: all issuing authorities, newest first, and the roots, in PEM."""
    issuing_authority(database, keystore)

    def work(connection: Connection) -> str:
        rows = store.authorities(connection, store.ISSUING) + store.authorities(connection, store.ROOT)
        return "".join(row.certificate for row in rows)

    return {"content_type": "application/pem-certificate-chain", "content": database.read(work)}


@query(request=EmptyRequest, answer=api.Document, public=True)
def device_crl(database: Database, keystore: KeyStore) -> dict[str, str]:
    """Publish the revocation list; a new one is signed once a day and after every revocation."""
    key, issuer = issuing_authority(database, keystore)

    def present(connection: Connection, now: datetime) -> bytes | None:
        newest = store.newest_list(connection)
        if newest is None or now - newest.issued_at >= CRL_EVERY:
            return None
        # A revocation is stamped when its transaction begins: a list of about that time may have been made without it.
        last = store.last_revocation(connection)
        if last is None or last + CRL_OVERLAP <= newest.issued_at:
            return newest.content
        # Revocations are never taken back, so the list is whole when it has as many lines as there are.
        whole = len(x509.load_der_x509_crl(newest.content)) == len(store.revoked(connection, key.kid))
        return newest.content if whole else None

    def work(unit: Unit) -> bytes:
        content = present(unit.connection, unit.now)
        if content is not None:
            return content
        newest = store.newest_list(unit.connection)
        number = 1 if newest is None else newest.number + 1
        revoked = store.revoked(unit.connection, key.kid)
        content = profile.make_crl(revoked, number, issuer, private(key), unit.now, unit.now + CRL_NEXT_UPDATE)
        return store.insert_list(unit.connection, StoredList(number, unit.now, content)).content

    # Anybody may ask without a login: only a list that is due takes a write transaction.
    content = database.read(lambda connection: present(connection, database_time(connection))) or database.write(work)
    return {"content_type": "application/pkix-crl", "content_base64": base64.b64encode(content).decode()}


def revoked_kids(keystore: KeyStore | None) -> frozenset[str]:
    """Return the revoked keys of license files: what they signed is made anew when it is next asked for (S28)."""
    return frozenset() if keystore is None else keystore.revoked(FILE_KEY) | keystore.revoked(TEXT_KEY)


@query(request=EmptyRequest, answer=api.VerificationKeys, public=True)
def signing_keys(keystore: KeyStore) -> dict[str, object]:
    """Publish the keys that license files are verified with, as a JWK set; a rotated key stays in it."""
    return {"keys": keystore.public_jwks(FILE_KEY, "ES256")}


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True
