"""Sorting and merging for audits, in memory that stays flat however much there is.

What a table's index has in order is streamed; what has to be put in order first goes through a file that has no name.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any, Self, TypeVar

from sqlalchemy import Connection

L = TypeVar("L")
R = TypeVar("R")
_AT_ONCE = 1000
_CACHE_KIB = 4096


class Scratch:
    """Facts by key, sorted on disk in a private file that is gone when this object is."""

    def __init__(self) -> None:
        # An empty name is a file of SQLite's own, unlinked while it is open.
        self._file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for pragma in (f"cache_size=-{_CACHE_KIB}", "journal_mode=OFF", "synchronous=OFF", "temp_store=FILE"):
            self._file.execute(f"PRAGMA {pragma}")
        self._file.execute("CREATE TABLE facts (key TEXT NOT NULL, rank INTEGER NOT NULL, fact TEXT NOT NULL)")
        self._waiting: list[tuple[str, int, str]] = []
        self.count = 0

    def add(self, key: str, fact: str, *, rank: int = 0) -> None:
        """Note a fact; those of one key come back in the order of `rank`."""
        self._waiting.append((key, rank, fact))
        self.count += 1
        if len(self._waiting) >= _AT_ONCE:
            self._write()

    def items(self) -> Iterator[tuple[str, str]]:
        """Yield keys with facts, in the order of keys as Python compares texts."""
        self._write()
        yield from self._file.execute("SELECT key, fact FROM facts ORDER BY key, rank, rowid")

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self) -> None:
        self._file.execute("BEGIN")
        self._file.executemany("INSERT INTO facts VALUES (?, ?, ?)", self._waiting)
        self._file.execute("COMMIT")
        self._waiting.clear()


def in_order(connection: Connection, column: Any) -> Any:
    """Return the order by a column of text in which Python compares, whatever language the server sorts in."""
    return column.collate("C") if connection.dialect.name == "postgresql" else column


def merged(left: Iterable[tuple[str, L]], right: Iterable[tuple[str, R]]) -> Iterator[tuple[str, list[L], list[R]]]:
    """Yield each key of two sorted streams with what either has for it."""
    ours, theirs = _by_key(left), _by_key(right)
    mine, other = next(ours, None), next(theirs, None)
    while mine is not None or other is not None:
        key = min(side[0] for side in (mine, other) if side is not None)
        here: tuple[str, list[L], list[R]] = (key, [], [])
        if mine is not None and mine[0] == key:
            here[1].extend(mine[1])
            mine = next(ours, None)
        if other is not None and other[0] == key:
            here[2].extend(other[1])
            other = next(theirs, None)
        yield here


def _by_key(rows: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, list[Any]]]:
    key: Callable[[tuple[str, Any]], str] = lambda row: row[0]  # noqa: E731 - mypy wants its type
    for name, group in groupby(rows, key=key):
        yield name, [item for _, item in group]
