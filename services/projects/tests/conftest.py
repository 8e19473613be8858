"""Fixtures of projects' tests: a database built by the migrations, and the fake of accounts with two companies."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from services.accounts.fake import FakeAccounts
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.data.tables import outbox
from services.chassis.data.testing import make_call, make_database
from services.chassis.ids import new_id
from services.chassis.wrong_fields import load_request
from services.projects import api, commands, queries


@pytest.fixture
def database(database_uri: str, tmp_path: Path) -> Iterator[Database]:
    """Give projects' database, once on each kind of server."""
    database = make_database("projects", database_uri, tmp_path)
    yield database
    database.close()


class World:
    """Two companies, `a` and `b`, and callers of each kind."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.accounts = FakeAccounts()
        self.a, self.b = new_id(), new_id()
        self.accounts.add_company(self.a, "Acme")
        self.accounts.add_company(self.b, "Beta")
        self.accounts.add_user(new_id(), "ann@a.example", "Ann A", self.a)
        self.accounts.add_user(new_id(), "bob@b.example", "Bob B", self.b)
        self.admin = make_call(company=self.a, role="admin")
        self.member = make_call(company=self.a, role="member")
        self.guest = make_call(company=self.b, role="admin")
        self.staff = make_call(staff=True)

    def do(self, command: Any, schema: Any, call: Any, *, again: Any = False, **values: Any) -> Any:
        """Run a command or query with a request loaded by its schema, under a new command id unless done again."""
        request = load_request(schema(), values)
        call = call if again else replace(call, command_id=new_id())
        needs_accounts = "accounts" in inspect.signature(command).parameters
        return command(self.database, call, request, *([self.accounts] if needs_accounts else []))

    def create(self, name: str, call: Call | None = None) -> str:
        """Make a project and return its id."""
        made = self.do(commands.create_project, api.CreateProjectRequest, call or self.admin, name=name)
        return str(made["id"])

    def let(self, project_id: str, email: str = "bob@b.example") -> None:
        """Give the company of a user a right."""
        self.do(commands.add_right, api.AddRightRequest, self.admin, project_id=project_id, email=email)

    def access(self, call: Call, project_id: str) -> dict[str, Any]:
        """Return what a caller may do in a project."""
        answer: dict[str, Any] = self.do(queries.get_access, api.ProjectRequest, call, project_id=project_id)
        return answer

    def names(self, call: Call) -> list[str]:
        """Return the names of the projects that a caller sees."""
        listed = self.do(queries.list_projects, api.ListProjectsRequest, call)
        return [item["name"] for item in listed["items"]]

    def events(self) -> list[dict[str, Any]]:
        """Return all events of the outbox, oldest first."""
        with self.database.engine.connect() as connection:
            rows = connection.execute(sa.select(outbox.c.event).order_by(outbox.c.id)).scalars()
            return [json.loads(row) for row in rows]

    def types(self) -> list[str]:
        """Return the types of all events, oldest first."""
        return [event["type"] for event in self.events()]


@pytest.fixture
def world(database: Database) -> World:
    """Give a world without projects."""
    return World(database)
