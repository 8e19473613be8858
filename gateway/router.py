"""Finds the row of a request: one dictionary by method and shape of the path, no patterns."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.paths import read_parameter
from gateway.row import Row
from services.chassis.errors import ServiceError, invalid, not_found
from services.chassis.fields import Id

_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f]")
_ANY: Final = "{}"
_NOTHING: Final = "\ufffd"


@dataclass(frozen=True, slots=True)
class Match:
    """A row and the decoded values of its path parameters."""

    row: Row
    values: dict[str, str]


class _Node:
    """One segment of the tree of paths."""

    __slots__ = ("children", "rows")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.rows: dict[str, Row] = {}


class Router:
    """A tree of path segments; a literal segment wins over a parameter.

    Args:
        rows: all routes; two rows for the same method and shape are refused with ValueError.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self._root = _Node()
        for row in rows:
            node = self._root
            for part in row.path.strip("/").split("/"):
                node = node.children.setdefault(_ANY if part.startswith("{") else part, _Node())
            if row.method in node.rows:
                raise ValueError(f"two routes for {row.method} {row.path}")
            node.rows[row.method] = row

    def find(self, method: str, path: str) -> Match:
        """Return the row for a request; HEAD is GET without the body.

        Raises:
            request.not_found: there is nothing at this path.
            request.method_not_allowed: there is, but not for this method; `allow` lists those it takes.
        """
        parts = path[1:].split("/")
        if "%" in path or not path.isascii():
            parts = [_decoded(part) for part in parts]
        node = self._walk(self._root, parts, 0)
        if node is None:
            raise not_found("request.not_found", "There is nothing at this address.")
        row = node.rows.get("GET" if method == "HEAD" else method)
        if row is None:
            allow = sorted({*node.rows, "HEAD"} if "GET" in node.rows else node.rows)
            raise not_allowed(method, allow)
        shapes = row.path.strip("/").split("/")
        given = [part for shape, part in zip(shapes, parts, strict=True) if shape[:1] == "{"]
        named = zip(row.path_names, given, strict=True)
        ids = {name for name in row.path_names if isinstance(row.wire_fields.get(name), Id)}
        return Match(row, {name: read_parameter(name, part, is_id=name in ids) for name, part in named})

    def _walk(self, node: _Node, parts: list[str], depth: int) -> _Node | None:
        if depth == len(parts):
            return node if node.rows else None
        for name in (parts[depth], _ANY) if parts[depth] else ():
            child = node.children.get(name)
            if child is not None and (found := self._walk(child, parts, depth + 1)) is not None:
                return found
        return None


def not_allowed(method: str, allow: list[str]) -> ServiceError:
    """Return the refusal of a method that an address does not take; it becomes 405 with `Allow`."""
    return invalid(
        "request.method_not_allowed", f"{method} is not for this address; {', '.join(allow)} is.", allow=allow
    )


def _decoded(part: str) -> str:
    try:
        decoded = unquote_to_bytes(part).decode("utf-8")
    except (UnicodeDecodeError, UnicodeEncodeError):
        return _NOTHING
    # What is not printable text names nothing: no literal, and nobody's id.
    return _NOTHING if _UNPRINTABLE.search(decoded) else decoded
