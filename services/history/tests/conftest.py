"""Fixtures of history's tests: a database built by the migrations, and events of the usual kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.chassis.data.db import Database
from services.chassis.data.outbox import Event
from services.chassis.data.testing import make_database
from services.chassis.ids import new_id
from services.history.commands import append_events

START = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)


@pytest.fixture
def database(database_uri: str, tmp_path: Path) -> Iterator[Database]:
    """Give history's database, once on each kind of server."""
    database = make_database("history", database_uri, tmp_path)
    yield database
    database.close()


class Sources:
    """Makes events as the rooms' outboxes would: a sequence without gaps per source, time moving on."""

    def __init__(self) -> None:
        self.sequences: dict[str, int] = {}
        self.now = START

    def event(
        self,
        type: str = "licenses_assigned",
        *,
        source: str = "licensing",
        company: str | None = None,
        project: str | None = None,
        device: str | None = None,
        hardware: str | None = None,
        actor: str | None = None,
        subject: str = "",
        at: datetime | None = None,
        data: dict[str, object] | None = None,
    ) -> Event:
        """Make the next event of a source, one second after the last."""
        self.sequences[source] = self.sequences.get(source, 0) + 1
        self.now += timedelta(seconds=1)
        return Event(
            id=new_id(),
            source=source,
            type=type,
            time=at or self.now,
            subject=subject or new_id(),
            sequence=self.sequences[source],
            data=data if data is not None else {"quantity": self.sequences[source], "name": "Zürich"},
            companyid=company,
            projectid=project,
            deviceid=device,
            hardwareid=hardware,
            actorid=actor,
            requestid=new_id(),
        )


@pytest.fixture
def sources() -> Sources:
    """Give a maker of events."""
    return Sources()


@pytest.fixture
def keep(database: Database) -> Callable[..., int]:
    """Give a function that appends events in one transaction."""
    return lambda *events: database.write(lambda unit: append_events(unit, events))
