"""The fake keeps the promises of the service: the same questions to both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from services.chassis.context import Call
from services.chassis.data.testing import make_call
from services.chassis.errors import ServiceError
from services.chassis.ids import new_id
from services.projects import api, commands, deletion, queries
from services.projects.fake import FakeProjects
from services.projects.tests.conftest import World


class Real:
    """Asks commands and queries as the service does."""

    def __init__(self, world: World) -> None:
        self.world = world

    def ensure_default(self, call: Call) -> dict[str, Any]:
        return commands.ensure_default(self.world.database, call, self.world.accounts)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        schema = {
            "list_projects": api.ListProjectsRequest,
            "close_project": api.CloseProjectRequest,
            "reopen_project": api.ClosingRequest,
            "delete_closed_project": api.ClosingRequest,
            "update_project": api.UpdateProjectRequest,
        }.get(name, api.ProjectRequest)
        command = next(getattr(module, name) for module in (queries, commands, deletion) if hasattr(module, name))
        return lambda call, **values: self.world.do(command, schema, call, **values) or {}


@pytest.mark.parametrize("kind", ["fake", "real"])
def test_fake_and_service_answer_alike(world: World, kind: str) -> None:
    real: Any = Real(world)
    fake = FakeProjects()
    client: Any = fake if kind == "fake" else real
    made = client.ensure_default(world.admin)
    project_id = made["id"]
    assert api.Project().validate(made) == {}
    assert client.ensure_default(world.member)["id"] == project_id

    access = client.get_access(world.admin, project_id=project_id)
    assert (access["company_id"], access["name"], access["state"]) == (world.a, "DEFAULT", "open")
    for stranger, identifier in ((world.guest, project_id), (world.admin, new_id())):
        with pytest.raises(ServiceError) as caught:
            client.get_access(stranger, project_id=identifier)
        assert caught.value.code == "projects.not_found"
    assert client.list_projects(world.guest)["items"] == []

    if kind == "fake":
        fake.let(project_id, world.b)
    else:
        world.let(project_id)
    rights = ("MOVE_LICENSES", "REQUEST_CERTIFICATE")
    for call in (world.guest, world.staff, make_call(company=world.a, role="member", rights=rights)):
        expected = {"own": 8, "guest": 4, "staff": 3}
        access = client.get_access(call, project_id=project_id)
        assert api.Access().validate(access) == {}
        assert len(access["powers"]) == expected[access["access"]]
    [item] = client.list_projects(world.guest)["items"]
    assert (item["id"], item["foreign"]) == (project_id, True)
    assert client.close_project(world.admin, project_id=project_id, closing_id=new_id()) == {"rights": 1}
    assert client.get_access(world.admin, project_id=project_id)["state"] == "open"


@pytest.mark.parametrize("kind", ["fake", "real"])
def test_fake_and_service_archive_alike(world: World, kind: str) -> None:
    client: Any = FakeProjects() if kind == "fake" else Real(world)
    project_id = client.ensure_default(world.admin)["id"]
    archived = client.update_project(world.admin, project_id=project_id, archived=True)
    assert (archived["state"], archived["version"]) == ("archived", 2)
    assert client.list_projects(world.admin)["items"] == []
    assert [item["id"] for item in client.list_projects(world.admin, archived=True)["items"]] == [project_id]
    access = client.get_access(world.admin, project_id=project_id)
    assert (access["state"], access["version"], access["powers"]) == ("archived", 2, ["see", "manage"])
    assert client.update_project(world.member, project_id=project_id, archived=False)["state"] == "open"


@pytest.mark.parametrize("kind", ["fake", "real"])
def test_fake_and_service_delete_alike(world: World, kind: str) -> None:
    client: Any = FakeProjects() if kind == "fake" else Real(world)
    project_id = client.ensure_default(world.admin)["id"]
    which = {"project_id": project_id, "closing_id": new_id()}
    with pytest.raises(ServiceError, match=r"projects\.not_empty"):
        client.delete_closed_project(world.admin, **which)
    assert client.close_project(world.admin, **which, dry_run=True) == {"rights": 0}
    assert client.get_access(world.admin, project_id=project_id)["state"] == "open"
    assert client.close_project(world.admin, **which) == {"rights": 0}
    assert client.get_access(world.admin, project_id=project_id)["powers"] == ["see"]
    with pytest.raises(ServiceError, match=r"projects\.closed"):
        client.close_project(world.admin, project_id=project_id, closing_id=new_id())
    client.reopen_project(world.admin, project_id=project_id, closing_id=new_id())
    assert client.get_access(world.admin, project_id=project_id)["state"] == "closed"
    client.reopen_project(world.admin, **which)
    assert client.get_access(world.admin, project_id=project_id)["state"] == "open"
    client.close_project(world.admin, **which)
    client.delete_closed_project(replace(world.admin, command_id=new_id()), **which)
    with pytest.raises(ServiceError, match=r"projects\.not_found"):
        client.get_access(world.admin, project_id=project_id)
