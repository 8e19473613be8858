"""What projects lost by a restore of its database, and other rooms still know: taken back, or told anew (rule R25).

Licenses and devices lie in projects. A project that was made after the backup is unknown here, and what lies in it
would be out of everybody's reach; one that was renamed, closed or deleted since is another one here than in the rooms
that book in it. Both are settled by events, as every change is, so that no room writes another one's tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data import aliases
from services.chassis.data.tables import outbox
from services.chassis.data.unit import Unit
from services.projects import store
from services.projects.api import CLOSED
from services.projects.commands import tell, tell_right
from services.projects.models import Project, ProjectRight
from services.projects.store import StoredProject

NOBODY: Final = "00000000-0000-0000-0000-000000000000"
"""Stands for whoever made what only other rooms remember."""
_NAME_AT_MOST: Final = 64


@dataclass(frozen=True, slots=True)
class Heard:
    """A project as another room last heard of it; `state` is `closed` once its deletion was told."""

    id: str
    company_id: str
    name: str
    state: str
    version: int


def take_back(unit: Unit, heard: Iterable[Heard], rights: Mapping[tuple[str, str], bool]) -> list[str]:
    """Make projects and what other rooms know of them the same again, and tell what was done, a sentence each.

    Args:
        unit: of projects' database.
        heard: copies of the rooms that follow projects.
        rights: (project, company) -> whether its end was told, as licensing knows it.

    Emits: project_created, project_changed, project_deleted, project_right_granted, project_right_removed.
    """
    done = [sentence for project in _newest(heard) if (sentence := _settled(unit, project))]
    return [*done, *_rights(unit, rights)]


def _newest(heard: Iterable[Heard]) -> list[Heard]:
    newest: dict[str, Heard] = {}
    for project in heard:
        known = newest.get(project.id)
        # Deleted is the last that can be told of a project, whatever the version.
        if known is None or (project.state == CLOSED, project.version) > (known.state == CLOSED, known.version):
            newest[project.id] = project
    return [newest[project_id] for project_id in sorted(newest)]


def _settled(unit: Unit, heard: Heard) -> str | None:
    row = store.hold(unit, heard.id)
    if row is None:
        return None if heard.state == CLOSED or _was_deleted(unit.connection, heard.id) else _made_again(unit, heard)
    if heard.state == CLOSED:
        unit.execute(sa.delete(ProjectRight).where(ProjectRight.project_id == row.id))
        store.remove(unit, row.id)
        data = {"name": row.name, "state": "deleted", "version": max(heard.version, row.version) + 1}
        tell(unit, "project_deleted", row, data)
        return f"project {row.id} {row.name!r} was deleted after the backup: deleted again"
    if heard.version <= row.version:
        return None
    # Above all that was told, or nobody would listen to what is told from now on.
    unit.execute(sa.update(Project).where(Project.id == row.id).values(version=heard.version + 1))
    state = unit.execute(sa.select(Project.state).where(Project.id == row.id)).scalar_one()
    tell(unit, "project_changed", row, {"name": row.name, "state": state, "version": heard.version + 1, "what": []})
    return f"project {row.id} {row.name!r} was changed after the backup: told as it is here now, {state}"


def _was_deleted(connection: Connection, project_id: str) -> bool:
    told = sa.select(outbox.c.id).where(
        outbox.c.type == "project_deleted", outbox.c.event.contains(f'"{project_id}"', autoescape=True)
    )
    return connection.execute(told.limit(1)).first() is not None


def _made_again(unit: Unit, heard: Heard) -> str:
    company_id = aliases.share(unit.connection, heard.company_id)
    store.claim_first(unit, company_id, heard.id)
    made = StoredProject(
        heard.id, company_id, heard.name, "", heard.state, heard.version + 1, unit.now, NOBODY, closing_id=None
    )
    number = 1
    while not store.add(unit, made):
        number += 1
        ending = f" ({number})"
        made = replace(made, name=f"{heard.name[: _NAME_AT_MOST - len(ending)]}{ending}")
    tell(unit, "project_created", made, {"name": made.name, "state": made.state, "version": made.version})
    return f"project {heard.id} {made.name!r} of company {company_id} was made after the backup: taken back"


def _rights(unit: Unit, rights: Mapping[tuple[str, str], bool]) -> list[str]:
    done = []
    for (project_id, heard_of), has_ended in sorted(rights.items()):
        company_id = aliases.share(unit.connection, heard_of)
        row = store.hold(unit, project_id)
        if row is None or (has_ended and company_id != heard_of):
            continue
        is_here = store.right(unit.connection, project_id, company_id) is not None
        if is_here and has_ended:
            tell_right(unit, "project_right_granted", row, company_id)
            done.append(f"the right of company {company_id} in project {project_id} ended after the backup: told anew")
        elif not is_here and not has_ended:
            tell_right(unit, "project_right_removed", row, company_id)
            done.append(f"the right of company {company_id} in project {project_id} is gone: grant it again")
    return done
