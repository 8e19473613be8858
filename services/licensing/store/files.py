"""SQL of issued license files and accepted returns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from services.licensing.models import LicenseFileLine, LicenseFileRow, LicenseReturn

ACTIVE, RETURNED, VOID = "active", "returned", "void"
TEXT, PLAIN, ENCRYPTED = "text", "plain", "encrypted"
SIGNED_FORMS = (PLAIN, ENCRYPTED)

_TABLE = LicenseFileRow.__table__


def insert(connection: Connection, values: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> None:
    """Record a file that is going to be signed, with the lines in it."""
    connection.execute(sa.insert(LicenseFileRow), values)
    connection.execute(sa.insert(LicenseFileLine), [{**line, "serial": values["serial"]} for line in lines])


def get(connection: Connection, serial: str) -> Row[Any] | None:
    """Return a file by its serial number."""
    return connection.execute(sa.select(_TABLE).where(LicenseFileRow.serial == serial)).one_or_none()


def newest(connection: Connection, hardware_id: str, forms: Collection[str]) -> Row[Any] | None:
    """Return the newest file of a device in one of these forms; test files do not count."""
    return connection.execute(
        sa.select(_TABLE)
        .where(
            LicenseFileRow.hardware_id == hardware_id, LicenseFileRow.form.in_(forms), LicenseFileRow.kind == "license"
        )
        .order_by(LicenseFileRow.counter.desc())
        .limit(1)
    ).one_or_none()


def fill(
    connection: Connection, serial: str, *, signature: bytes | None, content: str, content_digest: str, now: datetime
) -> bool:
    """Store a signed file's bytes, once; False when another process did it before."""
    return (
        connection.execute(
            sa.update(LicenseFileRow)
            .where(LicenseFileRow.serial == serial, LicenseFileRow.signed_at.is_(None))
            .values(signature=signature, content=content, content_digest=content_digest, signed_at=now)
        ).rowcount
        == 1
    )


def mark_fetched(connection: Connection, serial: str, now: datetime) -> bool:
    """Note when the device fetched a file for the first time; returns whether it was the first."""
    return (
        connection.execute(
            sa.update(LicenseFileRow)
            .where(LicenseFileRow.serial == serial, LicenseFileRow.fetched_at.is_(None))
            .values(fetched_at=now)
        ).rowcount
        == 1
    )


def mark_returned(connection: Connection, serial: str) -> bool:
    """Make the one-way step from active to returned (rule L10); False when it is not active."""
    return (
        connection.execute(
            sa.update(LicenseFileRow)
            .where(LicenseFileRow.serial == serial, LicenseFileRow.state == ACTIVE)
            .values(state=RETURNED)
        ).rowcount
        == 1
    )


def make_void(connection: Connection, hardware_id: str, up_to_counter: int) -> None:
    """End the active signed files of a device up to a counter: the device will not install them any more."""
    connection.execute(
        sa.update(LicenseFileRow)
        .where(
            LicenseFileRow.hardware_id == hardware_id,
            LicenseFileRow.form.in_(SIGNED_FORMS),
            LicenseFileRow.counter <= up_to_counter,
            LicenseFileRow.state == ACTIVE,
        )
        .values(state=VOID)
    )


def make_void_one(connection: Connection, serial: str) -> None:
    """End one active file that its device gave up."""
    connection.execute(
        sa.update(LicenseFileRow)
        .where(LicenseFileRow.serial == serial, LicenseFileRow.state == ACTIVE)
        .values(state=VOID)
    )


def lines_of(connection: Connection, serial: str) -> list[Row[Any]]:
    """Return the lines in a file."""
    return list(
        connection.execute(
            sa.select(LicenseFileLine.__table__)
            .where(LicenseFileLine.serial == serial)
            .order_by(LicenseFileLine.license_type, LicenseFileLine.line_id)
        )
    )


def insert_return(connection: Connection, values: Mapping[str, Any]) -> None:
    """Store an accepted return."""
    connection.execute(sa.insert(LicenseReturn), values)


def return_by_digest(connection: Connection, signed_digest: str) -> Row[Any] | None:
    """Return the accepted return with these signed bytes."""
    return connection.execute(
        sa.select(LicenseReturn.__table__).where(LicenseReturn.signed_digest == signed_digest)
    ).one_or_none()


def files_after(connection: Connection, after: str, limit: int) -> list[Row[Any]]:
    """Return files in the order of serial numbers, for the auditor."""
    return list(
        connection.execute(
            sa.select(_TABLE).where(LicenseFileRow.serial > after).order_by(LicenseFileRow.serial).limit(limit)
        )
    )


def unsigned(connection: Connection, before: datetime, limit: int) -> list[str]:
    """Return serial numbers of files that were recorded before a time and never signed."""
    return list(
        connection.scalars(
            sa.select(LicenseFileRow.serial)
            .where(LicenseFileRow.signed_at.is_(None), LicenseFileRow.recorded_at < before)
            .order_by(LicenseFileRow.recorded_at)
            .limit(limit)
        )
    )
