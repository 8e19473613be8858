"""The part of licensing's audit about certificates: what was signed, what is revoked, what the revocation list says.

It shares the formats with the commands, and no decision: what was stored must stand on its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection

from services.chassis.data.audit.checks import Check, Flaws, events, stream
from services.chassis.data.audit.sorted import Scratch, in_order, merged
from services.chassis.data.rows import part_of
from services.chassis.keys.keystore import KeyStore
from services.licensing.certificates import profile
from services.licensing.certificates.requests import key_digest
from services.licensing.commands.authority import CRL_OVERLAP, ISSUING_KEY, ROOT_KEY
from services.licensing.commands.certifying import subject_of
from services.licensing.models import Authority, DeviceCertificate
from services.licensing.store import certificates as store
from services.licensing.store.certificates import StoredAuthority, StoredCertificate, StoredList

_TOLD = ("certificate_issued", "certificate_revoked")


def check_certificates(connection: Connection, keystore: KeyStore) -> list[Check]:
    """Return the checks of certificates: signatures, states against the log, revocation list against states.

    Args:
        connection: of a snapshot.
        keystore: licensing's; only public parts are used.
    """
    return [_signed(connection, keystore), _told(connection), _listed(connection)]


def _signed(connection: Connection, keystore: KeyStore) -> Check:
    """Every signed certificate is, field by field, what the profile makes of its row (S16), and has its key."""
    flaws, checked = Flaws(), 0
    for authority in (*store.authorities(connection, store.ISSUING), *store.authorities(connection, store.ROOT)):
        with flaws.reading(f"the authority {authority.kid}"):
            if not _is_ours(authority, keystore):
                flaws.add(f"the authority {authority.kid} ({authority.role}) is of no key of ours; see what it signed")
    issuer = Authority.certificate.label("issuer")
    statement = sa.select(DeviceCertificate.__table__, issuer).outerjoin(
        Authority, Authority.kid == DeviceCertificate.authority
    )
    for row in stream(connection, statement):
        checked += 1
        with flaws.reading(f"certificate {row.serial} of {row.hardware_id}"):
            for flaw in _certificate_flaws(part_of(row, StoredCertificate), row.issuer):
                flaws.add(f"certificate {row.serial} of {row.hardware_id}: {flaw}")
    return Check("device certificates match their records", checked, flaws.told())


def _is_ours(authority: StoredAuthority, keystore: KeyStore) -> bool:
    """Tell whether an authority certifies a key of the key store; the root's may be off the machine."""
    is_root = authority.role == store.ROOT
    keys = {key.kid: key.private.public_key() for key, _ in keystore.states(ROOT_KEY if is_root else ISSUING_KEY)}
    if is_root and not keys:
        return True
    certificate = x509.load_pem_x509_certificate(authority.certificate.encode())
    return keys.get(authority.kid) == certificate.public_key()


def _certificate_flaws(stored: StoredCertificate, issuer: str | None) -> Iterator[str]:
    if key_digest(stored.public_key) != stored.key_digest:
        yield "its key has another digest than the one noted"
    if stored.certificate is None:
        return
    if issuer is None:
        yield f"its authority {stored.authority} is not stored"
        return
    certificate = x509.load_pem_x509_certificate(stored.certificate.encode())
    yield from profile.check_device(certificate, subject_of(stored), x509.load_pem_x509_certificate(issuer.encode()))


def _told(connection: Connection) -> Check:
    """Every certificate was told when recorded, and is revoked exactly when that was told (S16)."""
    flaws, checked, row_of = Flaws(), 0, DeviceCertificate
    columns = (row_of.serial, row_of.state, row_of.hardware_id, row_of.revoked_at)
    with Scratch() as told:
        for row, event in events(connection, _TOLD):
            with flaws.reading(f"event {row.id} about a certificate"):
                told.add(event.data["serial"], json.dumps([event.type, event.hardwareid]))
        rows = stream(connection, sa.select(*columns).order_by(in_order(connection, row_of.serial)))
        for serial, found, facts in merged(((row.serial, row) for row in rows), told.items()):
            checked += len(found)
            types = {json.loads(fact)[0] for fact in facts}
            things = {json.loads(fact)[1] for fact in facts} - {None}
            if not found:
                flaws.add(f"certificate {serial} was told of and is not there")
                continue
            (certificate,) = found
            if "certificate_issued" not in types:
                flaws.add(f"certificate {serial} of {certificate.hardware_id} was never told as issued")
            if things - {certificate.hardware_id}:
                flaws.add(f"certificate {serial} is of {certificate.hardware_id}, and was told as of {sorted(things)}")
            is_revoked = certificate.state == store.REVOKED
            if is_revoked != ("certificate_revoked" in types) or is_revoked != (certificate.revoked_at is not None):
                flaws.add(
                    f"certificate {serial} of {certificate.hardware_id} is {certificate.state} "
                    f"since {certificate.revoked_at}, and was told {'' if 'certificate_revoked' in types else 'not '}"
                    "as revoked"
                )
    return Check("certificates are as they were told", checked, flaws.told())


def _listed(connection: Connection) -> Check:
    """The newest revocation list is an authority's own, and lists what is revoked and nothing else (S16)."""
    flaws = Flaws()
    newest = store.newest_list(connection)
    if newest is None:
        return Check("the revocation list is complete", 0)
    with flaws.reading(f"revocation list {newest.number}"):
        _list_flaws(connection, newest, flaws)
    return Check("the revocation list is complete", newest.number, flaws.told())


def _list_flaws(connection: Connection, newest: StoredList, flaws: Flaws) -> None:
    listed = x509.load_der_x509_crl(newest.content)
    signer = _signer(connection, listed)
    if signer is None:
        flaws.add(
            f"revocation list {newest.number} is signed by no authority of ours; take the row out: one is made anew"
        )
        return
    number = listed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    if number != newest.number:
        flaws.add(f"revocation list {newest.number} is number {number}")
    if listed.last_update_utc != newest.issued_at.replace(microsecond=0):
        flaws.add(f"revocation list {newest.number} is of {listed.last_update_utc}, and noted as of {newest.issued_at}")
    revoked = sa.select(DeviceCertificate.serial, DeviceCertificate.revoked_at).where(
        DeviceCertificate.authority == signer, DeviceCertificate.state == store.REVOKED
    )
    with Scratch() as stored, Scratch() as published:
        for row in stream(connection, revoked):
            stored.add(row.serial, row.revoked_at.isoformat() if row.revoked_at else "")
        for entry in listed:
            published.add(f"{entry.serial_number:x}", "")
        # Between the stamp of a revocation and its commit a list may be made without it; the next one has it.
        surely = (newest.issued_at - CRL_OVERLAP).isoformat()
        for serial, found, entries in merged(stored.items(), published.items()):
            if found and not entries and found[0] < surely:
                flaws.add(f"certificate {serial} is revoked since {found[0]} and not in list {newest.number}")
            if entries and not found:
                flaws.add(f"certificate {serial} is in list {newest.number} and is not revoked")


def _signer(connection: Connection, listed: x509.CertificateRevocationList) -> str | None:
    for row in store.authorities(connection, store.ISSUING):
        public = x509.load_pem_x509_certificate(row.certificate.encode()).public_key()
        if isinstance(public, ec.EllipticCurvePublicKey) and listed.is_signature_valid(public):
            return row.kid
    return None
