"""SQL of the device authority: its own certificates, the devices', revocation lists."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from services.chassis.data.db import insert_or_ignore
from services.licensing.models import Authority, DeviceCertificate, FileCounter, RevocationList

CURRENT, SUPERSEDED, REVOKED = "current", "superseded", "revoked"
ROOT, ISSUING = "root", "issuing"

_TABLE = DeviceCertificate.__table__


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


def insert(connection: Connection, values: dict[str, Any]) -> None:
    """Record a certificate that is going to be signed."""
    connection.execute(sa.insert(DeviceCertificate), values)


def get(connection: Connection, serial: str) -> Row[Any] | None:
    """Return a certificate's row by its serial number in hexadecimal."""
    return connection.execute(sa.select(_TABLE).where(DeviceCertificate.serial == serial)).one_or_none()


def current(connection: Connection, hardware_id: str) -> Row[Any] | None:
    """Return the device's current certificate, signed or not yet."""
    return connection.execute(
        sa.select(_TABLE).where(DeviceCertificate.hardware_id == hardware_id, DeviceCertificate.state == CURRENT)
    ).one_or_none()


def of_device(connection: Connection, hardware_id: str) -> list[Row[Any]]:
    """Return all signed certificates of a device, newest first."""
    return list(
        connection.execute(
            sa.select(_TABLE)
            .where(DeviceCertificate.hardware_id == hardware_id, DeviceCertificate.signed_at.is_not(None))
            .order_by(DeviceCertificate.recorded_at.desc(), DeviceCertificate.serial)
        )
    )


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


def claimed(connection: Connection, hardware_id: str) -> list[Row[Any]]:
    """Return the certificates of a device that claims got and that were not revoked, unsigned ones too."""
    return list(
        connection.execute(
            sa.select(_TABLE)
            .where(
                DeviceCertificate.hardware_id == hardware_id,
                DeviceCertificate.possession == "claimed",
                DeviceCertificate.state != REVOKED,
            )
            .order_by(DeviceCertificate.recorded_at, DeviceCertificate.serial)
        )
    )


def valid(connection: Connection, hardware_id: str) -> list[Row[Any]]:
    """Return the signed certificates of a device that were not revoked."""
    return [row for row in of_device(connection, hardware_id) if row.state != REVOKED]


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


def authority(connection: Connection, kid: str) -> Row[Any] | None:
    """Return an authority by the id of its key."""
    return connection.execute(sa.select(Authority.__table__).where(Authority.kid == kid)).one_or_none()


def authorities(connection: Connection, role: str) -> list[Row[Any]]:
    """Return the authorities of a role, newest first."""
    return list(
        connection.execute(
            sa.select(Authority.__table__).where(Authority.role == role).order_by(Authority.created_at.desc())
        )
    )


def insert_authority(connection: Connection, kid: str, role: str, certificate: str, now: datetime) -> None:
    """Store an authority unless another process did it before."""
    insert_or_ignore(connection, Authority, {"kid": kid, "role": role, "certificate": certificate, "created_at": now})


def newest_list(connection: Connection) -> Row[Any] | None:
    """Return the newest revocation list."""
    return connection.execute(
        sa.select(RevocationList.__table__).order_by(RevocationList.number.desc()).limit(1)
    ).one_or_none()


def insert_list(connection: Connection, number: int, now: datetime, content: bytes) -> bool:
    """Store a revocation list; False when another process took the number."""
    return insert_or_ignore(connection, RevocationList, {"number": number, "issued_at": now, "content": content})
