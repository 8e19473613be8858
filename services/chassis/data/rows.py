"""Rows with types: a frozen dataclass names the columns and is made of them. What they mean is the rooms' matter."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import ColumnElement, FromClause, Row

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

K = TypeVar("K", bound="DataclassInstance")


def columns_of(
    kind: type[DataclassInstance], table: FromClause, **others: ColumnElement[Any]
) -> tuple[ColumnElement[Any], ...]:
    """Return the columns that a row type names, in its order, so that `kind(*row)` reads them.

    Args:
        kind: a dataclass; a field that is no column fails when the store is imported.
        table: where fields without another source come from.
        others: what else fields are read from, by name.

    Raises: KeyError for a field without a column.
    """
    return tuple(
        others[field.name].label(field.name) if field.name in others else table.c[field.name] for field in fields(kind)
    )


def part_of(row: Row[Any], kind: type[K]) -> K:
    """Return what a wider row, such as of a join, has of a row type."""
    return kind(**{field.name: getattr(row, field.name) for field in fields(kind)})
