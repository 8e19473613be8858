"""What licensing learns from the events of other rooms: names, owners and states of projects."""

from __future__ import annotations

from collections.abc import Sequence

from services.chassis.db import Unit
from services.chassis.outbox import Event
from services.licensing.store import projects
from services.licensing.store.projects import ProjectCopy

_PROJECT_EVENTS = ("project_created", "project_changed", "project_deleted")


def on_projects_events(unit: Unit, events: Sequence[Event]) -> None:
    """Bring the copies of projects up to date; what is not about a project's own data is passed over."""
    for event in events:
        if event.type in _PROJECT_EVENTS and event.companyid is not None:
            state = "closed" if event.type == "project_deleted" else str(event.data["state"])
            projects.save(
                unit.connection,
                ProjectCopy(str(event.data["project_id"]), event.companyid, str(event.data["name"]), state),
            )
