"""Keep this room's copies of projects as their events tell."""

from __future__ import annotations

from collections.abc import Sequence

from services.chassis.db import Unit
from services.chassis.outbox import Event
from services.devices import store
from services.projects.api import CLOSED

_STATES = ("project_created", "project_changed")


def apply_project_events(unit: Unit, events: Sequence[Event]) -> None:
    """Store what events say about projects, so that no device is added to a closed one; other events are not ours."""
    for event in events:
        if event.companyid is None or event.type not in (*_STATES, "project_deleted"):
            continue
        state = CLOSED if event.type == "project_deleted" else str(event.data["state"])
        store.put_project(unit.connection, event.subject, event.companyid, str(event.data["name"]), state)
