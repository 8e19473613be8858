"""With a protection switched off the loss that it prevents is seen: the substitutes of the fault runs work."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.chassis.bus.rpc import standalone
from services.chassis.context import Call
from services.chassis.data import tables
from services.chassis.service.topology import declare_topology
from services.chassis.tests.messaging_world import (
    SinkService,
    SourceService,
    make_settings,
    opened,
    prepare,
    running,
    words,
)
from tests.faults.unprotected.substitutes import unprotect
from tests.rig import wait_until


def test_without_an_outbox_an_event_without_a_queue_is_gone(
    vhost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(tmp_path, vhost)
    unprotect(monkeypatch.setattr, outbox=True)
    prepare(settings, "source", "sink")
    declare_topology(settings, [SourceService])
    with opened(settings, "sink") as sink, running(settings, SourceService), standalone(vhost) as to:
        to("source").say(Call(deadline=time.time() + 5), word="lost")
        with running(settings, SinkService):
            to("source").say(Call(deadline=time.time() + 5), word="kept")
            wait_until(lambda: bool(words(sink)), 10)
        assert words(sink) == ["kept"]
    with opened(settings, "source") as source:
        assert source.read(lambda c: c.execute(sa.select(tables.outbox.c.id)).all()) == []


def test_without_an_inbox_a_repeated_event_is_applied_twice(
    vhost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(tmp_path, vhost)
    unprotect(monkeypatch.setattr)
    prepare(settings, "source", "sink")
    declare_topology(settings, [SourceService, SinkService])
    with (
        opened(settings, "sink") as sink,
        opened(settings, "source") as source,
        running(settings, SourceService, SinkService),
        standalone(vhost) as to,
    ):
        to("source").say(Call(deadline=time.time() + 5), word="twice")
        wait_until(lambda: words(sink) == ["twice"], 10)
        source.write(lambda unit: unit.execute(sa.update(tables.outbox).values(sent_at=None)))
        wait_until(lambda: words(sink) == ["twice", "twice"], 10)
