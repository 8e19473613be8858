"""SQL of the device authority: its own certificates, the devices', revocation lists."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.db import insert_or_ignore
from services.chassis.data.rows import columns_of
from services.licensing.models import Authority, DeviceCertificate, FileCounter, RevocationList

CURRENT, SUPERSEDED, REVOKED = "current", "superseded", "revoked"
ROOT, ISSUING = "root", "issuing"


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """A device's certificate: what will be signed, and once it is, its PEM.

    Args:
        serial: hexadecimal.
        key_digest, public_key: of the device's key, the latter in DER.
        authority: id of the key that signs it.
        renews: serial number of the one whose key spoke for this one's.
        possession: what the record that got it was, `proven` or `claimed`.
    """

    serial: str
    hardware_id: str
    company_id: str
    device_id: str
    key_digest: str
    public_key: bytes
    authority: str
    crl_url: str
    not_before: datetime
    not_after: datetime
    recorded_at: datetime
    state: str
    renews: str | None
    possession: str
    signed_at: datetime | None = None
    certificate: str | None = None
    revoked_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class StoredAuthority:
    """An authority, with its certificate in PEM."""

    kid: str
    role: str
    certificate: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StoredList:
    """A published revocation list in DER."""

    number: int
    issued_at: datetime
    content: bytes


_CERTIFICATES = sa.select(*columns_of(StoredCertificate, DeviceCertificate.__table__))
_AUTHORITIES = sa.select(*columns_of(StoredAuthority, Authority.__table__))
_LISTS = sa.select(*columns_of(StoredList, RevocationList.__table__))


def lock_hardware(connection: Connection, hardware_id: str) -> int:
    """Lock what is issued to a device until the end of the transaction; returns its highest file counter."""
    insert_or_ignore(connection, FileCounter, {"hardware_id": hardware_id, "counter": 0})
    counter: int = connection.execute(
        sa.select(FileCounter.counter).where(FileCounter.hardware_id == hardware_id).with_for_update()
    ).scalar_one()
    return counter


def floor(connection: Connection, hardware_id: str) -> int:
    """Return the highest counter that the device named by itself; a file must have a higher one to be installed."""
    found: int | None = connection.scalar(sa.select(FileCounter.floor).where(FileCounter.hardware_id == hardware_id))
    return found or 0


def raise_floor(connection: Connection, hardware_id: str, counter: int) -> None:
    """Remember a counter that a locked device named above all that was issued to it."""
    connection.execute(
        sa.update(FileCounter)
        .where(FileCounter.hardware_id == hardware_id, FileCounter.floor < counter)
        .values(floor=counter)
    )


def set_counter(connection: Connection, hardware_id: str, counter: int) -> None:
    """Store the highest file counter of a locked device."""
    connection.execute(sa.update(FileCounter).where(FileCounter.hardware_id == hardware_id).values(counter=counter))


def insert(connection: Connection, certificate: StoredCertificate) -> None:
    """Record a certificate that is going to be signed."""
    connection.execute(sa.insert(DeviceCertificate), asdict(certificate))


def find(connection: Connection, serial: str) -> StoredCertificate | None:
    """Return a certificate by its serial number in hexadecimal."""
    row = connection.execute(_CERTIFICATES.where(DeviceCertificate.serial == serial)).one_or_none()
    return None if row is None else StoredCertificate(*row)


def get(connection: Connection, serial: str) -> StoredCertificate:
    """Return a certificate that was recorded; none is ever deleted."""
    return StoredCertificate(*connection.execute(_CERTIFICATES.where(DeviceCertificate.serial == serial)).one())


def current(connection: Connection, hardware_id: str) -> StoredCertificate | None:
    """Return the device's current certificate, signed or not yet."""
    row = connection.execute(
        _CERTIFICATES.where(DeviceCertificate.hardware_id == hardware_id, DeviceCertificate.state == CURRENT)
    ).one_or_none()
    return None if row is None else StoredCertificate(*row)


def of_device(connection: Connection, hardware_id: str) -> list[StoredCertificate]:
    """Return all signed certificates of a device, newest first."""
    statement = _CERTIFICATES.where(
        DeviceCertificate.hardware_id == hardware_id, DeviceCertificate.signed_at.is_not(None)
    ).order_by(DeviceCertificate.recorded_at.desc(), DeviceCertificate.serial)
    return [StoredCertificate(*row) for row in connection.execute(statement)]


def has_had(connection: Connection, hardware_id: str, *, ended_claims: bool = True) -> bool:
    """Tell whether the device ever got a certificate; without `ended_claims` those that a proof ended do not count."""
    statement = sa.select(sa.literal(1)).where(
        DeviceCertificate.hardware_id == hardware_id, DeviceCertificate.signed_at.is_not(None)
    )
    if not ended_claims:
        statement = statement.where(
            sa.or_(DeviceCertificate.possession != "claimed", DeviceCertificate.state != REVOKED)
        )
    return connection.scalar(statement.limit(1)) is not None


def claimed(connection: Connection, hardware_id: str) -> list[StoredCertificate]:
    """Return the certificates of a device that claims got and that were not revoked, unsigned ones too."""
    statement = _CERTIFICATES.where(
        DeviceCertificate.hardware_id == hardware_id,
        DeviceCertificate.possession == "claimed",
        DeviceCertificate.state != REVOKED,
    ).order_by(DeviceCertificate.recorded_at, DeviceCertificate.serial)
    return [StoredCertificate(*row) for row in connection.execute(statement)]


def valid(connection: Connection, hardware_id: str) -> list[StoredCertificate]:
    """Return the signed certificates of a device that were not revoked."""
    return [certificate for certificate in of_device(connection, hardware_id) if certificate.state != REVOKED]


def set_possession(connection: Connection, serial: str, possession: str) -> None:
    """Note that a certificate is worth more than when it was given."""
    connection.execute(
        sa.update(DeviceCertificate).where(DeviceCertificate.serial == serial).values(possession=possession)
    )


def other_device_with_key(connection: Connection, digest: str, hardware_id: str) -> str | None:
    """Return another device for which this key was certified, if there is one."""
    found: str | None = connection.scalar(
        sa.select(DeviceCertificate.hardware_id)
        .where(DeviceCertificate.key_digest == digest, DeviceCertificate.hardware_id != hardware_id)
        .limit(1)
    )
    return found


def supersede(connection: Connection, hardware_id: str) -> None:
    """End the current certificate, because a new one takes its place."""
    connection.execute(
        sa.update(DeviceCertificate)
        .where(DeviceCertificate.hardware_id == hardware_id, DeviceCertificate.state == CURRENT)
        .values(state=SUPERSEDED)
    )


def fill(connection: Connection, serial: str, certificate: str, now: datetime) -> None:
    """Store a signed certificate, unless another process did it before, or its request is over."""
    connection.execute(
        sa.update(DeviceCertificate)
        .where(
            DeviceCertificate.serial == serial,
            DeviceCertificate.signed_at.is_(None),
            DeviceCertificate.state == CURRENT,
        )
        .values(certificate=certificate, signed_at=now)
    )


def revoke(connection: Connection, serial: str, now: datetime, reason: str) -> bool:
    """Revoke a certificate; returns whether it was not revoked before."""
    return (
        connection.execute(
            sa.update(DeviceCertificate)
            .where(DeviceCertificate.serial == serial, DeviceCertificate.state != REVOKED)
            .values(state=REVOKED, revoked_at=now, reason=reason)
        ).rowcount
        == 1
    )


def revoked(connection: Connection, authority: str) -> list[tuple[int, datetime]]:
    """Return serial numbers and times of an authority's revoked certificates."""
    rows = connection.execute(
        sa.select(DeviceCertificate.serial, DeviceCertificate.revoked_at)
        .where(DeviceCertificate.authority == authority, DeviceCertificate.state == REVOKED)
        .order_by(DeviceCertificate.revoked_at, DeviceCertificate.serial)
    )
    return [(int(row.serial, 16), row.revoked_at) for row in rows]


def last_revocation(connection: Connection) -> datetime | None:
    """Return when a certificate was revoked last."""
    last: datetime | None = connection.execute(
        sa.select(DeviceCertificate.revoked_at)
        .where(DeviceCertificate.revoked_at.is_not(None))
        .order_by(DeviceCertificate.revoked_at.desc())
        .limit(1)
    ).scalar()
    return last


def find_authority(connection: Connection, kid: str) -> StoredAuthority | None:
    """Return an authority by the id of its key."""
    row = connection.execute(_AUTHORITIES.where(Authority.kid == kid)).one_or_none()
    return None if row is None else StoredAuthority(*row)


def authority(connection: Connection, kid: str) -> StoredAuthority:
    """Return an authority that is stored, as each is that has signed something."""
    return StoredAuthority(*connection.execute(_AUTHORITIES.where(Authority.kid == kid)).one())


def authorities(connection: Connection, role: str) -> list[StoredAuthority]:
    """Return the authorities of a role, newest first."""
    statement = _AUTHORITIES.where(Authority.role == role).order_by(Authority.created_at.desc())
    return [StoredAuthority(*row) for row in connection.execute(statement)]


def insert_authority(connection: Connection, authority: StoredAuthority) -> None:
    """Store an authority unless another process did it before."""
    insert_or_ignore(connection, Authority, asdict(authority))


def newest_list(connection: Connection) -> StoredList | None:
    """Return the newest revocation list."""
    row = connection.execute(_LISTS.order_by(RevocationList.number.desc()).limit(1)).one_or_none()
    return None if row is None else StoredList(*row)


def insert_list(connection: Connection, made: StoredList) -> StoredList:
    """Store a revocation list, and return it, or the one with this number that another process stored before."""
    if insert_or_ignore(connection, RevocationList, asdict(made)):
        return made
    return StoredList(*connection.execute(_LISTS.where(RevocationList.number == made.number)).one())
