"""What licensing learns from the events of other rooms: names, owners and states of projects."""

from __future__ import annotations

from collections.abc import Sequence

from services.chassis.db import Unit
from services.chassis.outbox import Event
from services.licensing.store import projects
from services.licensing.store.projects import ProjectCopy
from services.projects.api import CLOSED

_PROJECT_EVENTS = ("project_created", "project_changed", "project_deleted")


def on_projects_events(unit: Unit, events: Sequence[Event]) -> None:
    """Bring the copies of projects up to date; what is not about a project's own data is passed over."""
    for event in events:
        if event.type in _PROJECT_EVENTS and event.companyid is not None:
            project_id, name = str(event.data["project_id"]), str(event.data["name"])
            state = CLOSED if event.type == "project_deleted" else str(event.data["state"])
            known = projects.get(unit.connection, project_id)
            # Events of old carry no version; they are told in order, so each is the newest.
            version = int(event.data.get("version", known.version if known is not None else 0))
            projects.save(unit.connection, ProjectCopy(project_id, event.companyid, name, state, version))
