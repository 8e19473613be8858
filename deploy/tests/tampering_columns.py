"""A copy of an installation's data in which one value at a time is changed, and what the audit says to that."""

from __future__ import annotations

import importlib
import shutil
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from deploy.audit_copies import COPIES
from deploy.rooms import ROOMS
from services.chassis.data import aliases, tables
from services.chassis.data.audit.checks import Check, Log, Report
from services.chassis.data.audit.copies import ABSENT, Copy
from services.chassis.data.audit.places import check_places, read_end
from services.chassis.data.audit.sorted import Scratch, merged
from services.chassis.data.db import Database
from services.chassis.data.place import read_places
from services.chassis.data.testing import unguarded
from services.chassis.keys.keystore import KeyStore
from services.chassis.settings import Settings
from services.history.audit import compare_log
from services.history.audit import report as history_report
from services.history.heads import SignedHeads

_NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Audited:
    """All databases of a stopped installation, copied, and each without its triggers and constraints."""

    def __init__(self, data: Path, folder: Path) -> None:
        shutil.copytree(data, folder, ignore=shutil.ignore_patterns("*.sock"))
        settings = Settings.from_environment({"TESSERA_DATA_DIR": str(folder)})
        self.databases = {room: Database.from_settings(settings, room, pool_size=3) for room in ROOMS}
        self._keys = {room: KeyStore.from_settings(settings, room) for room in ROOMS}
        self._heads = SignedHeads.from_settings(settings)
        for database in self.databases.values():
            with unguarded(database):
                pass
        # What nobody in the world does: a company takes a key that it did not have certified.
        with self.databases["licensing"].engine.begin() as connection:
            connection.exec_driver_sql(
                "INSERT INTO certificate_acceptances SELECT company_id, hardware_id, key_digest, serial, device_id, "
                "recorded_at FROM certificates LIMIT 1"
            )
        reports = {room: database.read(partial(self._report, room)) for room, database in self.databases.items()}
        self._logs = [report.log for room, report in reports.items() if report.log is not None and room != "history"]

    def close(self) -> None:
        """Close all databases."""
        for database in self.databases.values():
            database.close()

    def columns(self, room: str) -> Iterator[sa.Column[Any]]:
        """Yield every column that the room's migrated database has, as the room knows it."""
        models = importlib.import_module(f"services.{room}.models")
        known = {
            table.name: table
            for metadata in (models.Base.metadata, aliases.metadata, tables.metadata)
            for table in metadata.sorted_tables
        }
        with self.databases[room].engine.connect() as connection:
            inspector = sa.inspect(connection)
            for name in sorted(set(inspector.get_table_names()) - {"alembic_version"}):
                for column in inspector.get_columns(name):
                    yield known[name].columns[column["name"]]

    def change(self, room: str, column: sa.Column[Any], *, empty: bool) -> tuple[str, dict[str, str]] | None:
        """Change one value, audit, and take it back; returns what was changed and the first flaw by check.

        Args:
            room: whose database it is.
            column: in which a value is changed.
            empty: take a row that has no value there and give it one; None where there is no such row.
        """
        with closing(self.databases[room].engine.connect()) as connection:
            connection.rollback()
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.execute("PRAGMA foreign_keys = OFF")
            raw.execute("PRAGMA ignore_check_constraints = ON")
            changed = _change(connection, column, empty=empty)
            if changed is None:
                return None
            flaws: dict[str, str] = {}
            for check in self._checks(room, connection):
                if check.flaws:
                    flaws.setdefault(check.name, check.flaws[0])
            connection.rollback()
            return changed, flaws

    def checks(self, room: str) -> list[Check]:
        """Return all checks that read a room's database."""
        with closing(self.databases[room].engine.connect()) as connection:
            return self._checks(room, connection)

    def _report(self, room: str, connection: Connection) -> Report:
        if room == "history":
            return history_report(connection, self._heads)
        audit = importlib.import_module(f"services.{room}.audit")
        keys = [self._keys[room]] if room in ("accounts", "licensing") else []
        report: Report = audit.report(connection, *keys)
        return report

    def _checks(self, room: str, connection: Connection) -> list[Check]:
        report = self._report(room, connection)
        places = {name: partial(self._read, room, connection, name) for name in ROOMS}
        checks = [*report.checks, check_places(room, report.places, places)]
        # Whoever follows this room's log looks into it too.
        for name in set(ROOMS) - {room}:
            others = self.databases[name].read(partial(self._places, name))
            checks.append(check_places(name, {room: others[room]} if room in others else {}, places))
        logs: list[Log] = self._logs if room == "history" else [report.log] if report.log else []
        history = self.databases["history"]
        for log in logs:
            checks += compare_log(log, connection) if room == "history" else history.read(partial(compare_log, log))
        return [*checks, *(self._copied(copy, room, connection) for copy in COPIES if room in (copy.source, copy.room))]

    def _places(self, room: str, connection: Connection) -> Any:
        return read_places(connection)

    def _read(self, room: str, connection: Connection, name: str, sequence: int) -> Any:
        if name == room:
            return read_end(connection, sequence)
        return self.databases[name].read(partial(read_end, sequence=sequence))

    def _copied(self, copy: Copy, room: str, connection: Connection) -> Check:
        """Compare a copy whose log has come to rest, as `check_copy` does after its second look."""
        found = []
        with Scratch() as originals, Scratch() as copies:
            for scratch, name, facts in ((originals, copy.source, copy.originals), (copies, copy.room, copy.copies)):

                def note(connection: Connection, scratch: Scratch = scratch, facts: Any = facts) -> None:
                    for key, fact in facts(connection):
                        scratch.add(key, fact)

                note(connection) if name == room else self.databases[name].read(note)
            for key, left, right in merged(originals.items(), copies.items()):
                said, kept = (facts[-1] if facts else ABSENT for facts in (left, right))
                if not copy.fits(said, kept):
                    found.append(f"{key}: {kept}, not {said}")
        return Check(f"copies of {copy.name} of {copy.source}", 1, tuple(found))


def _change(connection: Connection, column: sa.Column[Any], *, empty: bool) -> str | None:
    table = column.table
    keys = list(table.primary_key.columns)
    rows = sa.select(*keys, column).where(column.is_(None) if empty else column.is_not(None)).order_by(*keys)
    row = connection.execute(rows.limit(1)).first()
    if row is None:
        return None
    here = sa.and_(*(key == value for key, value in zip(keys, row[:-1], strict=True)))
    present = sa.select(column).where(column.is_not(None)).distinct().order_by(column).limit(50)
    others = connection.scalars(present).all()
    highest = connection.scalar(sa.select(sa.func.max(column))) if isinstance(column.type, sa.Integer) else 0
    for value in _others(column, row[-1], others, highest or 0):
        try:
            connection.execute(sa.update(table).where(here).values({column.name: value}))
        except sa.exc.IntegrityError:
            continue
        return f"{table.name}.{column.name} of {row[0]}: {row[-1]!r} became {value!r}"
    raise AssertionError(f"nothing else can stand in {table.name}.{column.name}")


def _others(column: sa.Column[Any], value: Any, others: Any, highest: int) -> Iterator[Any]:
    """Yield plausible other values: what another row has, one more, an hour later, another id, a letter changed."""
    kind = column.type
    if isinstance(kind, sa.Boolean):
        yield not value
    elif isinstance(kind, tables.UtcDateTime):
        yield (value or _NOON) + timedelta(hours=1)
    elif isinstance(kind, sa.Date):
        yield (value or date(2026, 11, 24)) + timedelta(days=1)
    elif isinstance(kind, sa.Integer):
        yield (value or 0) + 1
        yield highest + 1
    elif isinstance(kind, sa.LargeBinary):
        content = bytes(value or b"x")
        yield content[:-1] + bytes([content[-1] ^ 1])
    elif isinstance(kind, sa.JSON):
        yield _other_json(value)
    else:
        yield from (other for other in others if other != value)
        if value and len(value) == 36 and value.count("-") == 4:
            yield str(uuid.uuid4())
        yield value[:-1] + ("0" if value[-1] != "0" else "1") if value else "x"


def _other_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _other_json(inner) for key, inner in value.items()} or {"x": 1}
    if isinstance(value, list):
        return [_other_json(value[0]), *value[1:]] if value else ["x"]
    return value + 1 if isinstance(value, int) else f"{value}x"
