"""What grows with an installation costs no more statements: the projects that a guest may read (issue 6.4)."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from services.chassis.data.db import Database
from services.chassis.ids import new_id
from services.history import store
from services.history.tests.conftest import Sources


def test_the_projects_of_a_guest_are_found_with_two_statements(
    database: Database, keep: Callable[..., int], sources: Sources
) -> None:
    owner, guest = new_id(), new_id()
    expected = {}
    for number in range(12):
        project = new_id()
        keep(sources.event("project_created", source="projects", company=owner, project=project, subject=project))
        keep(sources.event("project_right_granted", source="projects", company=guest, project=project, subject=project))
        if number % 3:
            expected[project] = owner
        else:
            ended = ("project_right_removed", "projects", guest, project)
            keep(sources.event(ended[0], source=ended[1], company=ended[2], project=ended[3], subject=project))
    statements: list[str] = []

    def work(connection: sa.Connection) -> dict[str, str]:
        def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
            statements.extend([statement] if statement.startswith("SELECT") else [])

        sa.event.listen(connection, "before_cursor_execute", note)
        return store.guest_projects(connection, [guest])

    assert database.read(work) == expected
    assert len(statements) == 2
