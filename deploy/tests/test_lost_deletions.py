"""Projects that rooms keep closed for a deletion which a restore of licensing lost are opened again (rule R25)."""

from __future__ import annotations

from pathlib import Path

from deploy.restored import settle
from services.chassis.data.audit.checks import events
from services.chassis.data.testing import forge, make_database, unguarded
from services.devices.models import Project
from services.projects.models import Project as OwnProject


def test_a_deletion_that_licensing_lost_is_ended_once_though_nobody_is_ahead(tmp_path: Path) -> None:
    rooms = {room: make_database(room, f"sqlite:///{tmp_path}/{room}.sqlite", tmp_path) for room in _ROOMS}
    licensing = rooms.pop("licensing")
    try:
        for room, model in (("projects", OwnProject), ("devices", Project)):
            with unguarded(rooms[room]) as connection:
                forge(connection, model, id="p", closing_id="c")
        assert len(settle(licensing, rooms, [], dry_run=True)) == 1
        (told,) = settle(licensing, rooms, [], dry_run=False)
        assert told.startswith("project p was closed for a deletion that was lost: closed no more")
        assert settle(licensing, rooms, [], dry_run=False) == []
        emitted = licensing.read(lambda connection: [event for _, event in events(connection)])
        assert [(event.type, event.data["closing_id"], event.data["outcome"]) for event in emitted] == [
            ("project_deletion_settled", "c", "abandoned")
        ]
    finally:
        for database in (licensing, *rooms.values()):
            database.close()


_ROOMS = ("licensing", "projects", "devices")
