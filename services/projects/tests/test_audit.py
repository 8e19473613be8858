"""Projects' audit: clean after everything that is done to projects, and telling for what was done behind its back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from services.chassis.data.testing import make_call
from services.chassis.ids import new_id
from services.projects import api, commands, deletion, queries
from services.projects.audit import check_owners, check_projects
from services.projects.models import FirstProject, Project, ProjectRight, Selection
from services.projects.tests.conftest import World
from services.projects.tests.test_projects import refused


def flaws(world: World) -> list[str]:
    def work(connection: sa.Connection) -> list[str]:
        checks = [*check_projects(connection), *check_owners(connection)]
        return [flaw for check in checks for flaw in check.flaws]

    return world.database.read(work, snapshot=True)


@pytest.fixture
def busy(world: World) -> World:
    """A world in which everything was done once."""
    for call in (world.admin, world.guest):
        commands.ensure_default(world.database, call, world.accounts)
    shared, archived, gone = (world.create(name) for name in ("Shared", "Archived", "Gone"))
    world.let(shared)
    for call, project_id in ((world.admin, archived), (world.guest, shared)):
        world.do(commands.select_project, api.SelectProjectRequest, call, project_id=project_id)
    update = (commands.update_project, api.UpdateProjectRequest, world.admin)
    world.do(*update, project_id=shared, name="Shared ", description="with Beta")
    world.do(*update, project_id=archived, archived=True)
    closing = {"project_id": gone, "closing_id": new_id()}
    world.do(deletion.close_project, api.CloseProjectRequest, world.admin, **closing)
    world.do(deletion.delete_closed_project, api.ClosingRequest, world.admin, **closing)
    return world


def test_what_is_done_to_projects_leaves_the_audit_clean(busy: World) -> None:
    assert flaws(busy) == []


def test_staff_with_a_company_choose_no_foreign_project(busy: World) -> None:
    """Issue 6.4: they chose one, and the audit was never clean again."""
    staff = make_call(staff=True, company=busy.b)
    private = busy.create("Private")
    with refused("access.power_needed"):
        busy.do(commands.select_project, api.SelectProjectRequest, staff, project_id=private)
    assert flaws(busy) == []


def test_nobody_chooses_an_archived_project(busy: World) -> None:
    """Issue 6.4: the same by another way; archiving takes choices away, and then it could be chosen again."""
    (archived,) = (
        item["id"]
        for item in busy.do(queries.list_projects, api.ListProjectsRequest, busy.admin, archived=True)["items"]
        if item["name"] == "Archived"
    )
    with refused("projects.archived"):
        busy.do(commands.select_project, api.SelectProjectRequest, busy.admin, project_id=archived)
    assert flaws(busy) == []


Change = Callable[[sa.Connection], Any]
CHANGES: list[tuple[Change, str]] = [
    (lambda c: c.execute(sa.update(Project).values(name="Other")), "known as"),
    (lambda c: c.execute(sa.update(Project).values(state="open", version=9)), "told was"),
    (lambda c: c.execute(sa.delete(FirstProject)), "never given a first one"),
    (lambda c: c.execute(sa.update(Project).where(Project.name == "Shared").values(closing_id="x")), "being deleted"),
    (lambda c: c.execute(sa.delete(ProjectRight)), "in which the company has no right"),
    (lambda c: c.execute(sa.update(Selection).values(project_id="x")), "not there or archived"),
    (lambda c: c.execute(sa.delete(Project).where(Project.name == "Archived")), "never told as deleted"),
    (lambda c: c.exec_driver_sql("DELETE FROM outbox"), "told 0 times"),
]


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_what_was_done_behind_its_back_is_told(busy: World, number: int) -> None:
    change, text = CHANGES[number]
    with busy.database.engine.begin() as connection:
        change(connection)
    assert [flaw for flaw in flaws(busy) if text in flaw]
