"""Import of a company as projects sees it: rows become the other's, rights between the two end, nothing is doubled."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from services.accounts.api import CompanyMerge
from services.chassis.context import Call
from services.chassis.data import aliases
from services.chassis.data.outbox import Event
from services.chassis.data.testing import make_call
from services.chassis.errors import ServiceError
from services.chassis.faults import InjectedFault, set_fail_points
from services.chassis.ids import new_id
from services.projects import api, audit, commands, merges, queries
from services.projects.domain import NAME_MAXIMUM, normalized_name, renames
from services.projects.models import Project, ProjectRight
from services.projects.tests.conftest import World


@pytest.fixture(autouse=True)
def _no_fail_points() -> Iterator[None]:
    yield
    set_fail_points("")


def merge_of(world: World, into: str = "", *gone: str, name: str = "Beta") -> CompanyMerge:
    return CompanyMerge(new_id(), into or world.a, (gone or (world.b,))[0], gone or (world.b,), name)


def event(merge: CompanyMerge, *, copy: bool = False) -> Event:
    company = merge.gone_id if copy else merge.company_id
    data = merge.data(copy=copy)
    return Event(
        new_id(), "accounts", "company_merged", datetime.now(UTC), merge.gone_id, 1, data, companyid=company
    )  # fmt: skip


def apply(world: World, *found: CompanyMerge) -> None:
    told = [event(merge, copy=copy) for merge in found for copy in (False, True)]
    world.database.write(lambda unit: merges.apply_accounts_events(unit, told))


def rows(world: World, table: Any) -> list[Any]:
    with world.database.engine.connect() as connection:
        return list(connection.execute(sa.select(*table.__table__.c).order_by(*table.__table__.primary_key.columns)))


def applied(world: World) -> list[dict[str, int]]:
    return [one["data"]["counts"] for one in world.events() if one["type"] == "company_merge_applied"]


def flaws(world: World) -> list[str]:
    found = [flaw for check in world.database.read(audit.report, snapshot=True).checks for flaw in check.flaws]
    # Nothing relays here, and no company of this world asked for its first project.
    beside = ("waits to be published", "never given a first one", "the outbox")
    return [flaw for flaw in found if not any(text in flaw for text in beside)]


def merged(world: World, *, command_id: str | None = None) -> Call:
    """Return a call by our admin, with a token of after the import."""
    return make_call(company=world.a, role="admin", absorbed=(world.b,), command_id=command_id)


def test_projects_become_ours_and_equal_names_are_told_apart(world: World) -> None:
    world.create("DEFAULT")
    theirs = [world.create(name, world.guest) for name in ("Default", "Roof")]
    apply(world, merge_of(world))
    found = {row.id: (row.company_id, row.name, row.version) for row in rows(world, Project)}
    assert [found[one] for one in theirs] == [(world.a, "Default (Beta)", 2), (world.a, "Roof", 2)]
    assert sorted(world.names(world.admin)) == ["DEFAULT", "Default (Beta)", "Roof"]
    assert applied(world) == [{"projects": 2, "renamed": 1, "rights_dissolved": 0, "rights_passed": 0}]
    told = {one["subject"]: one for one in world.events() if one["type"] == "project_changed"}
    assert told[theirs[0]]["companyid"] == world.a
    assert told[theirs[0]]["data"] == {
        "project_id": theirs[0],
        "name": "Default (Beta)",
        "state": "open",
        "version": 2,
        "what": ["company", "name"],
        "old_name": "Default",
        "old_company_id": world.b,
    }
    assert flaws(world) == []


def test_before_and_behind_the_switch_both_tokens_see_the_same(world: World) -> None:
    theirs = world.create("Roof", world.guest)
    assert world.access(merged(world), theirs)["access"] == "own"
    apply(world, merge_of(world))
    assert world.access(merged(world), theirs)["access"] == "own"
    assert world.access(world.admin, theirs)["access"] == "own"
    with pytest.raises(ServiceError) as caught:
        world.access(world.guest, theirs)
    assert caught.value.code == "projects.not_found"


def test_rights_between_the_two_end_and_those_with_others_go_on(world: World) -> None:
    third = new_id()
    world.accounts.add_company(third, "Third")
    world.accounts.add_user(new_id(), "tom@t.example", "Tom T", third)
    owner = make_call(company=third)
    ours, theirs = world.create("Ours"), world.create("Theirs", world.guest)
    both, only = world.create("Both", owner), world.create("Only", owner)
    world.let(ours)
    for project, call, email in (
        (theirs, world.guest, "ann@a.example"),
        (theirs, world.guest, "tom@t.example"),
        (both, owner, "ann@a.example"),
        (both, owner, "bob@b.example"),
        (only, owner, "bob@b.example"),
    ):
        world.do(commands.add_right, api.AddRightRequest, call, project_id=project, email=email)
    before = len(world.events())
    apply(world, merge_of(world))
    assert {(row.project_id, row.company_id) for row in rows(world, ProjectRight)} == {
        (theirs, third),
        (both, world.a),
        (only, world.a),
    }
    assert applied(world)[0]["rights_dissolved"] == 2
    assert applied(world)[0]["rights_passed"] == 2
    told = [
        (one["type"], one["companyid"], one["subject"]) for one in world.events()[before:] if "right" in one["type"]
    ]
    assert sorted(told) == sorted(
        [("project_right_removed", world.a, ours), ("project_right_removed", world.a, theirs)]
        + [("project_right_passed", company, project) for project in (both, only) for company in (third, world.a)]
    )
    assert world.access(world.admin, only)["access"] == "guest"
    assert world.access(owner, theirs)["access"] == "guest"


def test_what_users_chose_stays_chosen(world: World) -> None:
    ours, theirs = world.create("Ours"), world.create("Theirs", world.guest)
    user = new_id()

    def choose(company: str, project: str) -> None:
        call = make_call(user=user, company=company)
        world.do(commands.select_project, api.SelectProjectRequest, call, project_id=project)

    choose(world.b, theirs)
    apply(world, merge_of(world))
    listed = world.do(queries.list_projects, api.ListProjectsRequest, make_call(user=user, company=world.a))
    assert listed["selected"] == theirs
    assert ours in {item["id"] for item in listed["items"]}


def test_applied_again_it_changes_nothing(world: World) -> None:
    world.create("DEFAULT")
    world.create("DEFAULT", world.guest)
    merge = merge_of(world)
    apply(world, merge)
    before = rows(world, Project)
    apply(world, merge)
    assert rows(world, Project) == before
    assert [one["projects"] for one in applied(world)] == [1, 0]


@pytest.mark.parametrize("point", ["projects.merge.begin", "projects.merge.end"])
def test_killed_anywhere_the_next_try_ends_the_same(world: World, point: str) -> None:
    world.create("DEFAULT")
    world.create("DEFAULT", world.guest)
    merge = merge_of(world)
    before, events = rows(world, Project), len(world.events())
    set_fail_points(f"{point}=raise")
    with pytest.raises(InjectedFault):
        apply(world, merge)
    assert (rows(world, Project), len(world.events())) == (before, events)
    set_fail_points("")
    apply(world, merge)
    assert sorted(world.names(world.admin)) == ["DEFAULT", "DEFAULT (Beta)"]
    assert flaws(world) == []


def test_a_merge_that_comes_late_finds_who_absorbed_the_absorber(world: World) -> None:
    third = new_id()
    theirs, thirds = world.create("Roof", world.guest), world.create("Roof", make_call(company=third))
    first, second = merge_of(world, world.b, third, name="Third"), merge_of(world, world.a, world.b, third)
    apply(world, second)
    apply(world, first)
    assert {row.company_id for row in rows(world, Project)} == {world.a}
    assert {row.id for row in rows(world, Project)} == {theirs, thirds}
    with world.database.engine.connect() as connection:
        assert set(aliases.group(connection, world.a)) == {world.a, world.b, third}
    assert flaws(world) == []


def test_a_token_of_a_moment_before_makes_nothing_for_the_company_that_is_gone(world: World) -> None:
    roof = world.create("Roof", world.guest)
    apply(world, merge_of(world))

    def code(work: Any) -> str:
        with pytest.raises(ServiceError) as caught:
            work()
        return caught.value.code

    assert code(lambda: world.create("New", world.guest)) == "accounts.session_ended"
    assert (
        code(lambda: commands.ensure_default(world.database, world.guest, world.accounts)) == "accounts.session_ended"
    )
    # accounts named the company a moment before it was gone.
    assert code(lambda: world.let(roof, "bob@b.example")) == "projects.own_company"
    third = make_call(company=new_id())
    world.accounts.add_company(str(third.claims["company"]), "Third")
    project = world.create("Third's", third)
    world.do(commands.add_right, api.AddRightRequest, third, project_id=project, email="bob@b.example")
    assert [(row.project_id, row.company_id) for row in rows(world, ProjectRight)] == [(project, world.a)]


def test_the_rehearsal_tells_what_the_import_then_does(world: World) -> None:
    ours = world.create("DEFAULT")
    theirs = [world.create(name, world.guest) for name in ("default", "DEFAULT (Beta)", "Roof")]
    world.let(ours)
    call = make_call(company=world.a)
    absorbing = {"companies": [world.b], "name": "Beta"}
    call.claims.update(scopes=["rehearsal"], absorbing=absorbing)  # type: ignore[attr-defined]
    before = rows(world, Project)
    answer = merges.rehearse_merge(world.database, call)
    assert api.MergeRehearsed().validate(answer) == {}
    assert answer == {
        "projects": {
            "count": 3,
            "renamed_count": 1,
            "renamed": [{"id": theirs[0], "name": "default", "new_name": "default (Beta 2)"}],
        },
        "rights": {"granted": 0, "received": 1, "dissolved": 1},
    }
    assert rows(world, Project) == before
    apply(world, merge_of(world))
    assert {row.name for row in rows(world, Project)} == {"DEFAULT", "default (Beta 2)", "DEFAULT (Beta)", "Roof"}
    with pytest.raises(ServiceError) as caught:
        merges.rehearse_merge(world.database, world.admin)
    assert caught.value.code == "accounts.scope_needed"


def test_long_names_are_cut_and_stay_apart() -> None:
    long, company = "x" * NAME_MAXIMUM, "Company with a very long name " * 4
    theirs = [("1", long), ("2", long.upper()), ("3", "Roof")]
    found = renames([long, "roof"], theirs, company)
    assert len({normalized_name(name) for name in found.values()}) == 3
    assert all(len(name) <= NAME_MAXIMUM for name in found.values())
    assert found["3"] == "Roof (Company with a very long name Company with a very long n…)"
    assert renames(["A"], [("1", "B")], "C") == {}
