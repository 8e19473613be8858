"""Import of a company as history sees it: no line changes, and readers find both chains together."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from services.accounts.api import CompanyMerge
from services.chassis.data.db import Database
from services.chassis.data.outbox import Event
from services.chassis.data.tables import outbox
from services.chassis.data.testing import make_call
from services.chassis.errors import ServiceError
from services.chassis.ids import new_id
from services.history import api, merges, store
from services.history.audit import verify_chain
from services.history.commands import append_events
from services.history.models import Line
from services.history.notices import pass_on
from services.history.tests.conftest import Sources
from services.history.tests.test_queries import World

Keep = Callable[..., int]


@pytest.fixture
def world(database: Database, keep: Keep, sources: Sources) -> World:
    return World(database, keep, sources)


def tell(database: Database, *events: Event) -> None:
    """Apply events as the service does."""
    for event in events:

        def work(unit: Any, event: Event = event) -> None:
            append_events(unit, [event])
            merges.apply_merges(unit, [event])

        database.write(work)


def merged(world: World) -> list[Event]:
    """Return the events of the import of the other company into the first."""
    merge = CompanyMerge(new_id(), world.one, world.other, (world.other,), "Other")
    return [
        world.sources.event(
            "company_merged",
            source="accounts",
            company=company,
            subject=world.other,
            data=merge.data(copy=company != world.one),
        )
        for company in (world.one, world.other)
    ]


def sent(database: Database) -> list[dict[str, Any]]:
    rows = database.read(lambda c: c.execute(sa.select(outbox.c.event).order_by(outbox.c.id)).scalars().all())
    return [json.loads(row) for row in rows]


def test_both_chains_are_read_together_and_no_line_changes(database: Database, world: World) -> None:
    statement = sa.select(*Line.__table__.c).order_by(Line.position)
    before = database.read(lambda c: c.execute(statement).all())
    foreign = world.actions(world.as_stranger())
    tell(database, *merged(world))
    after = database.read(lambda c: c.execute(statement).all())
    assert after[: len(before)] == before
    ours = make_call(user=world.admin, company=world.one, absorbed=(world.other,))
    assert set(foreign) <= set(world.actions(ours))
    staff = make_call(staff=True)
    assert world.actions(staff, id=world.one) == world.actions(ours)
    assert len(world.actions(staff, id=world.other)) == len(foreign) + 1
    assert world.actions(ours, id=world.one) == world.actions(ours)
    heads = database.read(store.heads)
    for head in heads:
        assert database.read(partial(verify_chain, head=head, signed={})) is None


def test_the_chain_of_a_device_is_found_by_either_id(database: Database, world: World) -> None:
    tell(database, *merged(world))
    ours = make_call(user=world.admin, company=world.one, absorbed=(world.other,))
    apart = [world.actions(ours, context="device", id=one) for one in (world.device, world.other_device)]
    joined = world.sources.event(
        "device_merged",
        source="devices",
        company=world.one,
        project=world.project,
        device=world.device,
        hardware=world.hardware,
        subject=world.other_device,
    )
    tell(database, joined)
    together = world.actions(ours, context="device", id=world.device)
    assert sorted(together) == sorted([*apart[0], *apart[1], "device_merged"])
    assert world.actions(ours, context="device", id=world.other_device) == together


def test_a_guest_goes_on_reading_the_project(database: Database, world: World) -> None:
    third, guest = new_id(), new_id()
    for company in (world.other, third):
        told: dict[str, Any] = {"source": "projects", "company": company, "project": world.other_project}
        world.keep(world.sources.event("project_right_granted", **told))
    call = make_call(user=guest, company=third)
    before = world.actions(call, project=world.other_project)
    tell(database, *merged(world))
    told = {"source": "projects", "company": world.one, "project": world.other_project}
    world.keep(world.sources.event("project_changed", **told))
    assert world.actions(call, project=world.other_project) == ["project_changed", *before]


def test_it_says_that_it_is_done_and_passes_on_what_others_say(database: Database, world: World) -> None:
    events = merged(world)
    lines = len(world.actions(world.as_stranger()))
    said = {"merge_id": events[0].data["merge_id"], "room": "devices", "counts": {"devices": 3}}
    tell(database, *events, world.sources.event("company_merge_applied", source="devices", data=said))
    own, passed = sent(database)
    # The first event's own line is ours; the other company's chain has what it had.
    assert own["data"] == {**said, "room": "history", "counts": {"lines": lines}}
    assert passed["data"] == said
    assert [one["type"] for one in (own, passed)] == ["company_merge_applied"] * 2
    assert api.EVENTS["company_merge_applied"]().validate(own["data"]) == {}


def test_the_rehearsal_counts_lines(database: Database, world: World) -> None:
    call = world.as_admin()
    absorbing = {"companies": [world.other], "name": "Other"}
    call.claims.update(scopes=["rehearsal"], absorbing=absorbing)  # type: ignore[attr-defined]
    answer = merges.rehearse_merge(database, call)
    assert api.MergeRehearsed().validate(answer) == {}
    assert answer == {"history": {"lines": len(world.actions(world.as_stranger()))}}
    with pytest.raises(ServiceError) as caught:
        merges.rehearse_merge(database, world.as_admin())
    assert caught.value.code == "accounts.scope_needed"


def test_what_is_told_again_changes_nothing(database: Database, world: World, sources: Sources) -> None:
    events = merged(world)
    tell(database, *events)
    ours = make_call(user=world.admin, company=world.one, absorbed=(world.other,))
    before = world.actions(ours)
    tell(database, *events)
    assert world.actions(ours) == before


def test_what_a_company_may_want_a_mail_about_is_passed_on(database: Database, world: World) -> None:
    told: dict[str, Any] = {"company": world.one, "hardware": world.hardware, "actor": new_id()}
    events = [
        world.sources.event("paid_device_used_elsewhere", data={"what": "filed"}, **told),
        world.sources.event("license_file_issued", **told),
    ]
    before = len(sent(database))
    database.write(lambda unit: pass_on(unit, events))
    (passed,) = sent(database)[before:]
    assert (passed["type"], passed["companyid"], passed["hardwareid"]) == ("device_notice", world.one, world.hardware)
    assert passed["data"] == {"action": "paid_device_used_elsewhere"}
    assert "actorid" not in passed
    assert api.EVENTS["device_notice"]().validate(passed["data"]) == {}
