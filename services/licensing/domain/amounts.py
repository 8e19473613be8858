"""Quantities of license types as answers and events carry them: JSON objects whose members mypy knows."""

from __future__ import annotations

from typing import TypedDict


class Amount(TypedDict):
    """How many of a license type, with its trade name."""

    license_type: str
    name: str
    quantity: int


class LineAmount(Amount):
    """A line on a device; `id` is None in a rehearsal."""

    id: str | None


class Share(TypedDict):
    """What one project paid or got back of a license type; `id` and `name` are the project's."""

    id: str
    name: str
    license_type: str
    quantity: int


class Source(TypedDict):
    """A project that holds some of what is missing."""

    id: str
    name: str
    available: int


class Shortage(TypedDict):
    """What is missing of a license type, and which own projects hold some."""

    license_type: str
    name: str
    needed: int
    missing: int
    projects: list[Source]
