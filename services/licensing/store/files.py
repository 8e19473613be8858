"""SQL of issued license files and accepted returns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.rows import columns_of
from services.licensing.models import LicenseFileLine, LicenseFileRow, LicenseReturn

ACTIVE, RETURNED, VOID = "active", "returned", "void"
TEXT, PLAIN, ENCRYPTED = "text", "plain", "encrypted"
SIGNED_FORMS = (PLAIN, ENCRYPTED)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A license file: what will be signed, and once it is, its bytes.

    Args:
        lines_digest: of what it depends on; the same one again makes no new file.
        kid: id of the key that signs it.
        certificate_serial: of the key that it is encrypted to.
        payload, payload_digest: the bytes that are signed.
    """

    serial: str
    hardware_id: str
    counter: int
    company_id: str
    device_id: str
    project_id: str
    form: str
    kind: str
    lines_digest: str
    kid: str
    certificate_serial: str | None
    payload: bytes
    payload_digest: str
    recorded_at: datetime
    state: str
    expires_at: datetime | None = None
    signed_at: datetime | None = None
    signature: bytes | None = None
    content: str | None = None
    content_digest: str | None = None
    fetched_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FiledLine:
    """A line on the device that stands in a file."""

    serial: str
    line_id: str
    license_type: str
    quantity: int


@dataclass(frozen=True, slots=True)
class StoredReturn:
    """An accepted return, with what was signed in hexadecimal and the answer that it got."""

    id: str
    serial: str
    hardware_id: str
    company_id: str
    project_id: str
    signed_digest: str
    document: str
    answer: Mapping[str, object]
    returned_at: datetime


_FILES = sa.select(*columns_of(StoredFile, LicenseFileRow.__table__))
_LINES = sa.select(*columns_of(FiledLine, LicenseFileLine.__table__))
_RETURNS = sa.select(*columns_of(StoredReturn, LicenseReturn.__table__))


def insert(connection: Connection, file: StoredFile, lines: Sequence[FiledLine]) -> None:
    """Record a file that is going to be signed, with the lines in it."""
    connection.execute(sa.insert(LicenseFileRow), asdict(file))
    connection.execute(sa.insert(LicenseFileLine), [asdict(line) for line in lines])


def find(connection: Connection, serial: str) -> StoredFile | None:
    """Return a file by its serial number."""
    row = connection.execute(_FILES.where(LicenseFileRow.serial == serial)).one_or_none()
    return None if row is None else StoredFile(*row)


def get(connection: Connection, serial: str) -> StoredFile:
    """Return a file that was recorded; none is ever deleted."""
    return StoredFile(*connection.execute(_FILES.where(LicenseFileRow.serial == serial)).one())


def newest(connection: Connection, hardware_id: str, forms: Collection[str]) -> StoredFile | None:
    """Return the newest file of a device in one of these forms; test files do not count."""
    row = connection.execute(
        _FILES.where(
            LicenseFileRow.hardware_id == hardware_id, LicenseFileRow.form.in_(forms), LicenseFileRow.kind == "license"
        )
        .order_by(LicenseFileRow.counter.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else StoredFile(*row)


def fill(
    connection: Connection, serial: str, *, signature: bytes | None, content: str, content_digest: str, now: datetime
) -> None:
    """Store a signed file's bytes, unless another process did it before."""
    connection.execute(
        sa.update(LicenseFileRow)
        .where(LicenseFileRow.serial == serial, LicenseFileRow.signed_at.is_(None))
        .values(signature=signature, content=content, content_digest=content_digest, signed_at=now)
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


def mark_returned(connection: Connection, serial: str) -> None:
    """Make the one-way step from active to returned (rule L10)."""
    connection.execute(
        sa.update(LicenseFileRow)
        .where(LicenseFileRow.serial == serial, LicenseFileRow.state == ACTIVE)
        .values(state=RETURNED)
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


def lines_of(connection: Connection, serial: str) -> list[FiledLine]:
    """Return the lines in a file."""
    statement = _LINES.where(LicenseFileLine.serial == serial)
    rows = connection.execute(statement.order_by(LicenseFileLine.license_type, LicenseFileLine.line_id))
    return [FiledLine(*row) for row in rows]


def insert_return(connection: Connection, given: StoredReturn) -> None:
    """Store an accepted return."""
    connection.execute(sa.insert(LicenseReturn), asdict(given))


def return_by_digest(connection: Connection, signed_digest: str) -> StoredReturn | None:
    """Return the accepted return with these signed bytes."""
    row = connection.execute(_RETURNS.where(LicenseReturn.signed_digest == signed_digest)).one_or_none()
    return None if row is None else StoredReturn(*row)


def files_after(connection: Connection, after: str, limit: int) -> list[StoredFile]:
    """Return files in the order of serial numbers, for the auditor."""
    statement = _FILES.where(LicenseFileRow.serial > after).order_by(LicenseFileRow.serial).limit(limit)
    return [StoredFile(*row) for row in connection.execute(statement)]
