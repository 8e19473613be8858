"""The five rooms in the order in which calls go: who is called stands before who calls."""

from __future__ import annotations

import importlib
from typing import Any

ROOMS = ("accounts", "projects", "devices", "licensing", "history")
_CLASSES = {room: f"{room.capitalize()}Service" for room in ROOMS}


def service_class(room: str) -> Any:
    """Import a room's nameko class; only then, so that a process loads the rooms it runs and no others."""
    return getattr(importlib.import_module(f"services.{room}.service"), _CLASSES[room])
