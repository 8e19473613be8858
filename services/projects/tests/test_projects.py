"""Projects and rights on both databases: names, powers, rights, deletion, and what strangers get."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from eventlet.greenpool import GreenPool

from services.chassis.data import aliases, tables
from services.chassis.data.db import Database
from services.chassis.data.outbox import Event
from services.chassis.data.testing import make_call
from services.chassis.errors import ServiceError
from services.chassis.ids import new_id
from services.projects import api, commands, deletion, queries
from services.projects.models import Base
from services.projects.tests.conftest import World


def refused(code: str) -> Any:
    """Expect the refusal with a code."""
    return pytest.raises(ServiceError, match=f"^{code}: ")


def test_migrations_make_the_tables_that_the_models_describe(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"target_metadata": Base.metadata})
        assert compare_metadata(context, [Base.metadata, tables.metadata, aliases.metadata]) == []  # type: ignore[arg-type]


def test_a_company_gets_one_default_however_often_and_in_parallel(world: World) -> None:
    pool = GreenPool(8)
    made = list(pool.imap(lambda _: commands.ensure_default(world.database, world.admin, world.accounts), range(8)))
    assert {answer["id"] for answer in made} == {made[0]["id"]}
    assert made[0]["name"] == "DEFAULT"
    assert api.Project().validate(made[0]) == {}
    assert world.types() == ["project_created"]
    world.do(commands.update_project, api.UpdateProjectRequest, world.admin, project_id=made[0]["id"], name="Berlin")
    again = commands.ensure_default(world.database, world.admin, world.accounts)
    assert (again["id"], again["name"]) == (made[0]["id"], "Berlin")


@pytest.mark.parametrize("name", ["Berlin", " berlin ", "BERLIN"])
def test_names_are_unique_in_the_company_ignoring_case_and_outer_blanks(world: World, name: str) -> None:
    first = world.create("Berlin")
    second = world.create("Paris")
    before = len(world.events())
    with refused("projects.name_taken"):
        world.create(name)
    with refused("projects.name_taken"):
        world.do(commands.update_project, api.UpdateProjectRequest, world.admin, project_id=second, name=name)
    assert len(world.events()) == before
    assert world.create(name, world.guest)
    world.do(commands.update_project, api.UpdateProjectRequest, world.admin, project_id=first, name=name)


@pytest.mark.parametrize("name", ["", "  ", "x" * 65, "a\x00b", 5])
def test_a_wrong_name_is_refused(world: World, name: Any) -> None:
    with refused("request.invalid"):
        world.do(commands.create_project, api.CreateProjectRequest, world.admin, name=name)
    assert world.events() == []


def test_powers_follow_the_table(world: World) -> None:
    project_id = world.create("Berlin")
    world.let(project_id)
    everything = ("MOVE_LICENSES", "REQUEST_CERTIFICATE")
    own = ["see", "add", "draw", "files", "manage_devices", "manage"]
    expected: list[tuple[Any, str, list[str]]] = [
        (world.admin, "own", own),
        (world.member, "own", own),
        (world.guest, "guest", ["see", "add", "draw", "files"]),
        (world.staff, "staff", ["see", "move_licenses", "correct"]),
        (
            make_call(company=world.a, role="member", rights=everything),
            "own",
            ["see", "add", "draw", "files", "request_certificate", "move_licenses", "manage_devices", "manage"],
        ),
        (
            make_call(company=world.b, rights=everything),
            "guest",
            ["see", "add", "draw", "files", "request_certificate"],
        ),
        (make_call(company=world.a, staff=True), "own", [*own[:4], "move_licenses", *own[4:], "correct"]),
        (make_call(company=new_id(), absorbed=(world.a,)), "own", own),
    ]
    for call, access, powers in expected:
        answer = world.access(call, project_id)
        assert api.Access().validate(answer) == {}
        assert (answer["access"], answer["powers"]) == (access, powers)


def test_a_stranger_gets_the_same_answer_as_for_an_unknown_id(world: World) -> None:
    project_id = world.create("Berlin")
    before = len(world.events())
    for call in (world.guest, make_call(company=None), make_call(company=world.b, role="member")):
        refusals = []
        for identifier in (project_id, new_id()):
            for command, schema, values in (
                (queries.get_access, api.ProjectRequest, {}),
                (queries.get_project, api.ProjectRequest, {}),
                (queries.list_rights, api.ListRightsRequest, {}),
                (commands.update_project, api.UpdateProjectRequest, {"name": "Mine"}),
                (commands.add_right, api.AddRightRequest, {"email": "bob@b.example"}),
                (commands.remove_right, api.RemoveRightRequest, {"company_id": world.b}),
                (deletion.close_project, api.CloseProjectRequest, {"closing_id": new_id()}),
                (deletion.close_project, api.CloseProjectRequest, {"closing_id": new_id(), "dry_run": True}),
                (deletion.reopen_project, api.ClosingRequest, {"closing_id": new_id()}),
                (deletion.delete_closed_project, api.ClosingRequest, {"closing_id": new_id()}),
            ):
                with pytest.raises(ServiceError) as caught:
                    world.do(command, schema, call, project_id=identifier, **values)
                refusals.append(caught.value.args)
        assert len(set(refusals)) == 1
    assert len(world.events()) == before


def test_a_guest_sees_the_project_as_foreign_and_may_not_manage_it(world: World) -> None:
    project_id = world.create("Berlin")
    world.create("Zoo", world.guest)
    world.let(project_id)
    assert world.names(world.guest) == ["Zoo", "Berlin"]
    listed = world.do(queries.list_projects, api.ListProjectsRequest, world.guest)
    assert api.ProjectList().validate(listed) == {}
    assert [item["foreign"] for item in listed["items"]] == [False, True]
    assert listed["items"][1]["company"] == {"id": world.a, "name": "Acme"}
    for command, schema, values in (
        (commands.update_project, api.UpdateProjectRequest, {"name": "Mine"}),
        (commands.add_right, api.AddRightRequest, {"email": "ann@a.example"}),
        (queries.list_rights, api.ListRightsRequest, {}),
        (deletion.close_project, api.CloseProjectRequest, {"closing_id": new_id()}),
        (deletion.close_project, api.CloseProjectRequest, {"closing_id": new_id(), "dry_run": True}),
    ):
        with refused("access.power_needed"):
            world.do(command, schema, world.guest, project_id=project_id, **values)


def test_rights_are_given_by_the_address_of_a_user(world: World) -> None:
    project_id = world.create("Berlin")
    c = new_id()
    world.accounts.add_company(c, "Gamma")
    world.accounts.add_user(new_id(), "zoe@x.example", "Zoe Z", world.b, c)
    give = {"project_id": project_id}
    for email, code in (
        ("nobody@x.example", "projects.user_without_company"),
        ("ann@a.example", "projects.own_company"),
        ("zoe@x.example", "projects.company_ambiguous"),
        ("no address", "request.invalid"),
    ):
        with pytest.raises(ServiceError) as caught:
            world.do(commands.add_right, api.AddRightRequest, world.admin, email=email, **give)
        assert caught.value.code == code
        if code == "projects.company_ambiguous":
            assert {company["id"] for company in caught.value.extra["companies"]} == {world.b, c}
    right = world.do(commands.add_right, api.AddRightRequest, world.admin, email="zoe@x.example", company_id=c, **give)
    assert api.Right().validate(right) == {}
    assert (right["company_id"], right["company_name"]) == (c, "Gamma")
    world.let(project_id)
    world.let(project_id)
    granted = [event for event in world.events() if event["type"] == "project_right_granted"]
    assert sorted(event["companyid"] for event in granted) == sorted([world.a, c, world.a, world.b])
    listed = world.do(queries.list_rights, api.ListRightsRequest, world.member, **give)
    assert {item["company_name"] for item in listed["items"]} == {"Gamma", "Beta"}
    world.do(commands.remove_right, api.RemoveRightRequest, world.admin, company_id=world.b, **give)
    with refused("projects.not_found"):
        world.access(world.guest, project_id)
    with refused("projects.right_not_found"):
        world.do(commands.remove_right, api.RemoveRightRequest, world.admin, company_id=world.b, **give)


def test_an_archived_project_is_read_only_until_it_is_taken_out(world: World) -> None:
    project_id = world.create("Berlin")
    world.let(project_id)
    change = {"project_id": project_id}
    world.do(commands.update_project, api.UpdateProjectRequest, world.admin, archived=True, **change)
    assert world.access(world.admin, project_id)["powers"] == ["see", "manage"]
    assert world.access(world.guest, project_id)["powers"] == ["see"]
    with refused("projects.archived"):
        world.do(commands.update_project, api.UpdateProjectRequest, world.admin, name="New", **change)
    with refused("projects.archived"):
        world.let(project_id, "bob@b.example")
    world.do(commands.update_project, api.UpdateProjectRequest, world.admin, archived=False, name="New", **change)
    assert world.access(world.guest, project_id)["name"] == "New"


def test_a_change_of_what_was_not_read_is_refused(world: World) -> None:
    project_id = world.create("Berlin")
    change = {"project_id": project_id, "if_version": 1}
    changed = world.do(commands.update_project, api.UpdateProjectRequest, world.admin, description="one", **change)
    assert (changed["version"], changed["description"]) == (2, "one")
    with pytest.raises(ServiceError) as caught:
        world.do(commands.update_project, api.UpdateProjectRequest, world.admin, description="two", **change)
    assert caught.value.status == 412


def test_the_selected_project_is_kept_per_user_and_company(world: World) -> None:
    project_id = world.create("Berlin")
    world.do(commands.select_project, api.SelectProjectRequest, world.admin, project_id=project_id)
    assert world.do(queries.list_projects, api.ListProjectsRequest, world.admin)["selected"] == project_id
    assert world.do(queries.list_projects, api.ListProjectsRequest, world.member)["selected"] is None
    with refused("projects.not_found"):
        world.do(commands.select_project, api.SelectProjectRequest, world.guest, project_id=project_id)
    assert queries.get_selected_project(world.database, world.admin) == {"project_id": project_id}
    assert queries.get_selected_project(world.database, world.staff) == {"project_id": None}
    world.do(commands.select_project, api.SelectProjectRequest, world.admin, project_id=None)
    assert world.do(queries.list_projects, api.ListProjectsRequest, world.admin)["selected"] is None


def test_a_project_closes_only_without_rights_and_takes_nothing_then(world: World) -> None:
    project_id = world.create("Berlin")
    which = {"project_id": project_id, "closing_id": new_id()}
    world.let(project_id)
    for dry_run in (True, False):
        closing = world.do(deletion.close_project, api.CloseProjectRequest, world.admin, dry_run=dry_run, **which)
        assert closing == {"rights": 1}
    with refused("projects.not_empty"):
        world.do(deletion.delete_closed_project, api.ClosingRequest, world.admin, **which)
    right = {"project_id": project_id, "company_id": world.b}
    world.do(commands.remove_right, api.RemoveRightRequest, world.admin, **right)
    before = world.types()
    rehearsed = world.do(deletion.close_project, api.CloseProjectRequest, world.admin, dry_run=True, **which)
    assert (rehearsed, world.access(world.admin, project_id)["state"]) == ({"rights": 0}, "open")
    for _ in range(2):
        assert world.do(deletion.close_project, api.CloseProjectRequest, world.admin, **which) == {"rights": 0}
    other = {"project_id": project_id, "closing_id": new_id()}
    with refused("projects.closed"):
        world.do(deletion.close_project, api.CloseProjectRequest, world.admin, **other)
    assert world.access(world.admin, project_id)["powers"] == ["see"]
    with refused("projects.closed"):
        world.let(project_id)
    for wrong, state in ((other, "closed"), (which, "open")):
        world.do(deletion.reopen_project, api.ClosingRequest, world.admin, **wrong)
        assert world.access(world.admin, project_id)["state"] == state
    assert world.types() == before
    world.do(deletion.close_project, api.CloseProjectRequest, world.admin, **which)
    with refused("projects.not_empty"):
        world.do(deletion.delete_closed_project, api.ClosingRequest, world.admin, **other)
    world.do(deletion.delete_closed_project, api.ClosingRequest, world.admin, **which)
    with refused("projects.not_found"):
        world.access(world.admin, project_id)
    assert world.types() == [*before, "project_deleted"]
    assert world.create("Berlin")


def test_a_closing_that_comes_late_closes_nothing(world: World) -> None:
    project_id = world.create("Berlin")
    late = replace(world.admin, deadline=time.time() - 1)
    with refused("service.deadline_passed"):
        world.do(deletion.close_project, api.CloseProjectRequest, late, project_id=project_id, closing_id=new_id())
    assert world.access(world.admin, project_id)["state"] == "open"


@pytest.mark.parametrize("outcome", ["deleted", "refused", "abandoned"])
@pytest.mark.parametrize("archived", [False, True])
def test_a_deletion_ends_by_licensings_event_when_its_call_never_comes(
    world: World, outcome: str, archived: bool
) -> None:
    project_id, closing_id = world.create("Berlin"), new_id()
    change = {"project_id": project_id, "archived": archived}
    world.do(commands.update_project, api.UpdateProjectRequest, world.admin, **change)
    which = {"project_id": project_id, "closing_id": closing_id}
    world.do(deletion.close_project, api.CloseProjectRequest, world.admin, **which)
    data = {"project_id": project_id, "closing_id": closing_id, "outcome": outcome}
    actor = str(world.admin.claims["sub"])
    event = Event(
        new_id(), "licensing", "project_deletion_settled", datetime.now(UTC), project_id, 1, data, actorid=actor
    )
    for _ in range(2):
        world.database.write(lambda unit: deletion.apply_licensing_events(unit, [event]))
    if outcome == "deleted":
        with refused("projects.not_found"):
            world.access(world.admin, project_id)
        [told] = [event for event in world.events() if event["type"] == "project_deleted"]
        assert (told["actorid"], told["companyid"]) == (actor, world.a)
        assert api.EVENTS["project_deleted"]().validate(told["data"]) == {}
    else:
        assert world.access(world.admin, project_id)["state"] == ("archived" if archived else "open")
        assert "project_deleted" not in world.types()


def test_archived_projects_are_hidden_unless_asked_for(world: World) -> None:
    project_id = world.create("Berlin")
    world.create("Paris")
    world.let(project_id)
    choice = {"project_id": project_id}
    for call in (world.admin, world.guest):
        world.do(commands.select_project, api.SelectProjectRequest, call, **choice)
    world.do(commands.update_project, api.UpdateProjectRequest, world.member, archived=True, **choice)
    assert world.names(world.admin) == ["Paris"]
    assert world.names(world.guest) == []
    for call, names in ((world.admin, ["Berlin", "Paris"]), (world.guest, ["Berlin"])):
        listed = world.do(queries.list_projects, api.ListProjectsRequest, call, archived=True)
        assert [item["name"] for item in listed["items"]] == names
        assert (listed["items"][0]["state"], listed["selected"]) == ("archived", None)
    with refused("projects.archived"):
        world.do(commands.remove_right, api.RemoveRightRequest, world.admin, company_id=world.b, **choice)


def test_lists_are_paged_in_a_fixed_order(world: World) -> None:
    for number in range(7):
        world.create(f"Site {number}")
    found: list[str] = []
    cursor = None
    while True:
        page = world.do(queries.list_projects, api.ListProjectsRequest, world.admin, limit=3, cursor=cursor)
        found += [item["name"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == [f"Site {number}" for number in range(7)]
    with refused("request.invalid"):
        world.do(queries.list_projects, api.ListProjectsRequest, world.admin, cursor="nonsense")


def test_a_token_for_one_project_sees_only_that_one(world: World) -> None:
    project_id, other = world.create("Berlin"), world.create("Paris")
    bound = make_call(company=world.a)
    bound.claims["project"] = project_id  # type: ignore[index]
    assert world.names(bound) == ["Berlin"]
    assert world.access(bound, project_id)["access"] == "own"
    with refused("projects.not_found"):
        world.access(bound, other)
    with refused("projects.token_bound"):
        world.create("Rome", bound)


def test_a_repeated_command_has_one_effect_and_one_answer(world: World) -> None:
    answers = [
        world.do(commands.create_project, api.CreateProjectRequest, world.admin, again=True, name="Berlin")
        for _ in range(3)
    ]
    assert answers[0] == answers[1] == answers[2]
    assert world.types() == ["project_created"]
