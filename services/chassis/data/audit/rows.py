"""Garbage in a table: every stored value is read as what its column is, and what cannot be read is told with its row.

PostgreSQL keeps types by itself; SQLite keeps whatever somebody with root puts in. The databases do the looking, so
that memory stays flat and no value is copied into a report.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.sql.elements import ColumnElement

from services.chassis.data.audit.checks import Check, Flaws, stream
from services.chassis.data.tables import UtcDateTime

_DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_MOMENT = f"{_DAY} [0-9][0-9]:[0-9][0-9]:[0-9][0-9]*"
_SQLITE: tuple[tuple[type[sa.types.TypeEngine[Any]], str], ...] = (
    (UtcDateTime, "typeof({0}) <> 'text' OR datetime({0}) IS NULL OR {0} NOT GLOB '" + _MOMENT + "'"),
    (sa.DateTime, "typeof({0}) <> 'text' OR datetime({0}) IS NULL OR {0} NOT GLOB '" + _MOMENT + "'"),
    (sa.Date, "typeof({0}) <> 'text' OR date({0}) IS NULL OR {0} NOT GLOB '" + _DAY + "'"),
    (sa.JSON, "typeof({0}) <> 'text' OR NOT json_valid({0})"),
    (sa.Boolean, "typeof({0}) <> 'integer' OR {0} NOT IN (0, 1)"),
    (sa.Integer, "typeof({0}) <> 'integer'"),
    (sa.LargeBinary, "typeof({0}) <> 'blob'"),
    (sa.String, "typeof({0}) <> 'text'"),
)
"""By type of column the condition for a value that is none of it; the first type that fits counts."""


def check_rows(connection: Connection, *metadatas: sa.MetaData) -> Check:
    """Check that every value of every row can be read as what its column is (L18).

    Args:
        connection: of a snapshot.
        metadatas: of the tables; what is not in the database is left out.
    """
    flaws, checked = Flaws(), 0
    there = set(sa.inspect(connection).get_table_names())
    for metadata in metadatas:
        for table in metadata.sorted_tables:
            if table.name not in there:
                continue
            checked += connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            bad = {column.name: _unreadable(column, connection.dialect.name) for column in table.columns}
            for row in stream(connection, _rows_with(table, bad)):
                key, found = row[: len(table.primary_key)], row[len(table.primary_key) :]
                names = ", ".join(name for name, is_bad in zip(bad, found, strict=True) if is_bad)
                flaws.add(
                    f"{table.name} {' '.join(str(part) for part in key)}: {names} cannot be read; "
                    "bring the row back from a backup"
                )
    return Check("every row can be read", checked, flaws.told())


def _rows_with(table: sa.Table, bad: dict[str, ColumnElement[bool]]) -> Any:
    # As text: the key itself may be garbage.
    keys: Iterable[Any] = [sa.cast(column, sa.Text) for column in table.primary_key]
    marks = [sa.case((condition, 1), else_=0) for condition in bad.values()]
    return sa.select(*keys, *marks).where(sa.or_(*bad.values()))


def _unreadable(column: sa.Column[Any], dialect: str) -> ColumnElement[bool]:
    missing: ColumnElement[bool] = sa.false() if column.nullable else column.is_(None)
    name = f'"{column.table.name}"."{column.name}"'
    if dialect == "sqlite":
        condition = next(text for kind, text in _SQLITE if isinstance(column.type, kind))
        wrong: ColumnElement[bool] = sa.literal_column(f"({condition.format(name)})", sa.Boolean)
        return sa.or_(missing, sa.and_(column.is_not(None), wrong))
    if isinstance(column.type, UtcDateTime | sa.DateTime | sa.Date):
        # A server knows times that no program can count to.
        return sa.or_(missing, sa.not_(sa.func.isfinite(column)))
    return missing
