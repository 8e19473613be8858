"""All copies between rooms: what is compared with what when an installation is audited."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from services.accounts.audit import copies as accounts
from services.chassis.data.aliases import aliases
from services.chassis.data.audit.checks import Report, stream
from services.chassis.data.audit.copies import ABSENT, Copy, check_copy
from services.chassis.data.db import Database
from services.chassis.settings import Settings
from services.devices.audit import copies as devices
from services.history.audit import copies as history
from services.licensing.audit import copies as licensing
from services.projects.audit import copies as projects


def known_aliases(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield for each absorbed company the one that stands for it in a room that knows no other old ids."""
    for row in stream(connection, sa.select(aliases.c.old_id, aliases.c.new_id)):
        yield row.old_id, row.new_id


def _project_fits(original: str, copy: str) -> bool:
    # A project that is gone stays known as closed, so that nobody books in it.
    return original == copy or (original == ABSENT and json.loads(copy)[2] == "closed")


def _no_more(original: str, copy: str) -> bool:
    return copy in (ABSENT, original)


COPIES: Final = (
    Copy("projects", "projects", "devices", projects.projects, devices.known_projects, _project_fits),
    Copy("projects", "projects", "licensing", projects.projects, licensing.known_projects, _project_fits),
    Copy("rights", "projects", "licensing", projects.rights, licensing.rights),
    Copy("records", "devices", "licensing", devices.records, licensing.holders),
    Copy("repair marks", "devices", "licensing", devices.marks, licensing.marks),
    Copy("company names", "accounts", "projects", accounts.company_names, projects.known_names, _no_more),
    # Production data may come by other ways than orders, and what was ordered must be there.
    Copy(
        "ordered devices",
        "licensing",
        "devices",
        licensing.ordered,
        devices.built,
        lambda said, built: said in (ABSENT, built),
    ),
    Copy("closings", "licensing", "projects", licensing.closings, projects.closings, _no_more),
    Copy("closings", "licensing", "devices", licensing.closings, devices.closings, _no_more),
    Copy("absorbed companies", "accounts", "projects", accounts.absorbed, known_aliases),
    Copy("absorbed companies", "accounts", "devices", accounts.absorbed, devices.absorbed),
    Copy("absorbed companies", "accounts", "licensing", accounts.absorbed, known_aliases),
    Copy("absorbed companies", "accounts", "history", accounts.absorbed, history.absorbed),
    Copy("joined records", "devices", "history", devices.joined, history.joined),
)


def check_copies(settings: Settings, rooms: Collection[str], seconds: float) -> list[Report]:
    """Compare every copy between the rooms that are audited; each is told as its own room's check.

    Args:
        settings: where the databases are.
        rooms: that are audited.
        seconds: for which each copy may catch up.
    """
    with ExitStack() as opened:
        databases = {room: Database.from_settings(settings, room, pool_size=2) for room in rooms}
        for database in databases.values():
            opened.callback(database.close)
        return [
            Report(
                copy.room,
                tuple(check_copy(copy, databases[copy.source], databases[copy.room], time.monotonic() + seconds)),
            )
            for copy in COPIES
            if {copy.source, copy.room} <= set(rooms)
        ]
