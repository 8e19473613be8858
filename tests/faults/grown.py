"""A fleet's databases grown to 50,000 rows a table, and the plans by which PostgreSQL answered (issue 6.4: growth).

Rows are multiplied in the database itself: copies of those that are there, with other keys. One in fifty stays with
whom its pattern belongs to, so that our own company has a thousand of everything; the others belong to 500 strangers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.bare.postgresql import PostgreSQL
from deploy.rooms import ROOMS
from tests.integration.installation import Installation

ROWS: Final = 50_000
STAYS: Final = 50
STRANGERS: Final = 500
GROWN: Final = 10_000
FIXED: Final = frozenset(
    [
        *("alembic_version", "outbox_head", "log_epochs", "positions", "catalogue_state", "catalogue_versions"),
        *("device_types", "license_types", "authorities", "revocation_lists"),
    ]
)
"""Tables that are as long as the product has rooms, keys or license types."""
UNUSED: Final = frozenset(
    [
        *("retry_events", "import_proofs", "recovery_codes", "project_deletions", "email_undos", "registrations"),
        *("device_notices", "selections", "certificate_acceptances", "key_attempts", "history.idempotency"),
    ]
)
"""Tables in which an undisturbed world has no row to copy."""
_VARIED: Final = {"company_import_rooms": "import_id", "balances": "pool_id", "transfer_entries": "transfer_id"}
"""Which column of a key is another one in each copy, where it is not the last."""
_ONE_OF_FEW: Final = ("absorbed_into", "new_id")
"""No company imports a thousand others: none of the copies is of ours."""
_KEYS = "SELECT indkey::int2[] FROM pg_index WHERE indrelid = %s::regclass AND indisunique"
_COLUMNS = """
    SELECT attnum, attname, format_type(atttypid, NULL), CASE WHEN atttypmod > 0 THEN atttypmod - 4 END
    FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""
_CHECKS = """
    SELECT format('ALTER TABLE %I DROP CONSTRAINT %I', relname, conname)
    FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid WHERE contype = 'c' AND relkind = 'r'
"""
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"


@dataclass(frozen=True)
class Table:
    """A table of a room, and how many rows it has."""

    room: str
    name: str
    rows: int


def server_of(fleet: Installation) -> PostgreSQL:
    """Return the server of a fleet, as its superuser."""
    plan = json.loads((fleet.folder / "nodes.json").read_text())
    return PostgreSQL(Path(plan["folder"]) / "postgresql", port=plan["postgresql"])


def grow(server: PostgreSQL) -> list[Table]:
    """Multiply the rows of every table that grows with an installation, and return the tables."""
    found = []
    for room in ROOMS:
        with server.session(room) as cursor:
            cursor.execute("SET session_replication_role = replica; SET synchronous_commit = off")
            cursor.execute(_CHECKS)
            for (statement,) in cursor.fetchall():
                cursor.execute(statement)
            cursor.execute(_TABLES)
            for (name,) in cursor.fetchall():
                if name not in FIXED:
                    found.append(Table(room, name, _multiply(cursor, name)))
            cursor.execute("ANALYZE")
    return found


def _multiply(cursor: Any, table: str) -> int:
    cursor.execute(f"SELECT count(*) FROM {table}")
    if (present := cursor.fetchone()[0]) == 0:
        return 0
    cursor.execute(_COLUMNS, (table,))
    columns = {number: (name, kind, length) for number, name, kind, length in cursor.fetchall()}
    cursor.execute(_KEYS, (table,))
    keys = [[columns[number][0] for number in key if number] for (key,) in cursor.fetchall()]
    varied = {_VARIED[table] if table in _VARIED and len(key) > 1 else key[-1] for key in keys}
    alone = {key[0] for key in keys if len(key) == 1}
    values = [_value(*column, varied=column[0] in varied | alone) for column in columns.values()]
    names = ", ".join(f'"{name}"' for name, _, _ in columns.values())
    cursor.execute(
        f"INSERT INTO {table} ({names}) SELECT {', '.join(values)}"
        f" FROM (SELECT row_number() OVER () - 1 AS place, {present} AS patterns, * FROM {table}) AS it"
        f" JOIN generate_series(1, {ROWS}) AS g ON it.place = g % {present}"
    )
    return int(present + cursor.rowcount)


def _value(name: str, kind: str, length: int | None, *, varied: bool) -> str:
    column = f'it."{name}"'
    if kind in ("bigint", "integer") and varied:
        # Below all that was counted, so that no reader takes a copy for what comes next.
        return f"CASE WHEN {column} IS NULL THEN NULL ELSE -g END"
    if kind.startswith("timestamp"):
        return f"{column} - g * interval '7 seconds'"
    if kind != "character varying":
        return column
    other = f"md5('{name}' || {'g' if varied else f'g % {STRANGERS}'})"
    if length is not None and length < 36:
        other = f"left({other}, {length})"
    elif name.endswith("_id") or name in ("id", *_ONE_OF_FEW):
        other = f"{other}::uuid::text"
    if varied:
        return f"CASE WHEN {column} IS NULL THEN NULL ELSE {other} END"
    if name in _ONE_OF_FEW:
        return f"CASE WHEN {column} IS NULL THEN NULL ELSE {other} END"
    if name.endswith(("_id", "hardware_id")) or name in ("order_number", "subject", "chain"):
        return f"CASE WHEN {column} IS NULL OR g / it.patterns % {STAYS} = 0 THEN {column} ELSE {other} END"
    return column


def explain_everything(server: PostgreSQL) -> None:
    """Let the server write down each statement of new sessions with its plan and what it really read."""
    with server.session() as cursor:
        cursor.execute("LOAD 'auto_explain'")
        for setting, value in {
            "session_preload_libraries": "auto_explain",
            "auto_explain.log_min_duration": "0",
            "auto_explain.log_format": "json",
            "auto_explain.log_analyze": "on",
            "auto_explain.log_timing": "off",
            "log_line_prefix": "%d|",
        }.items():
            cursor.execute(f"ALTER SYSTEM SET {setting} = '{value}'")
        cursor.execute("SELECT pg_reload_conf()")


@dataclass(frozen=True)
class Read:
    """What one step of a plan read of a table."""

    room: str
    table: str
    step: str
    thrown_away: int
    statement: str

    def __str__(self) -> str:
        """Return one line for a failure."""
        return f"{self.room}.{self.table}: {self.step}, {self.thrown_away} rows thrown away: {self.statement[:600]}"


class Plans:
    """The plans that a server writes from now on."""

    def __init__(self, server: PostgreSQL) -> None:
        self._log = server.folder / "postgresql.log"
        self._from = self._log.stat().st_size

    def reads(self) -> Iterator[Read]:
        """Yield what was read of tables since."""
        with self._log.open("rb") as log:
            log.seek(self._from)
            text = log.read().decode("utf-8", "replace")
        for found in re.finditer(r"^(\w+)\|LOG:  duration: [\d.]+ ms  plan:\n((?:\t.*\n)+)", text, re.MULTILINE):
            whole = json.loads(found[2])
            yield from _reads(found[1], whole["Query Text"], whole["Plan"])


def _reads(room: str, statement: str, step: dict[str, Any]) -> Iterator[Read]:
    if "Relation Name" in step or "Index Name" in step:
        thrown = int(step.get("Rows Removed by Filter", 0)) * int(step.get("Actual Loops", 1))
        yield Read(room, str(step.get("Relation Name", step.get("Index Name"))), step["Node Type"], thrown, statement)
    for inner in step.get("Plans", []):
        yield from _reads(room, statement, inner)
