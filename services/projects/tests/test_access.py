"""What a copy and a token prove by themselves, and what only projects can tell (rules S8, PRJ-3, PRJ-4)."""

from dataclasses import replace

import pytest

from services.accounts.api import Actor
from services.chassis.answers import dump
from services.chassis.data.testing import make_call
from services.chassis.errors import ServiceError
from services.projects.api import ADD, ARCHIVED, CLOSED, GUEST, MANAGE, OPEN, SEE, Access, ProjectAccess, ProjectCopy

COPY = ProjectCopy("p1", "c1", "Nord", OPEN, 3)
OWNER = Actor.of(make_call(company="c1", role="admin"))
STRANGER = Actor.of(make_call(company="c2", role="admin"))
STAFF = Actor.of(make_call(staff=True))


@pytest.mark.parametrize(
    ("copy", "actor", "gone", "known"),
    [
        (COPY, OWNER, False, True),
        (None, OWNER, False, False),
        (COPY, STRANGER, False, False),
        (COPY, STAFF, False, False),
        (COPY, replace(OWNER, project_id="p1"), False, True),
        (COPY, replace(OWNER, project_id="p2"), False, False),
        (replace(COPY, state=CLOSED), OWNER, False, False),
        (replace(COPY, state=CLOSED), OWNER, True, True),
        (replace(COPY, state=CLOSED), STRANGER, True, False),
    ],
)
def test_a_copy_proves_access_to_own_projects_only(
    copy: ProjectCopy | None, actor: Actor, gone: bool, known: bool
) -> None:
    access = ProjectAccess.of_copy(copy, actor, gone=gone)
    assert (access is not None) == known
    assert access is None or (access.project == copy and {SEE, ADD, MANAGE} <= {*access.powers})


def refusal(access: ProjectAccess, actor: Actor, power: str) -> str | None:
    try:
        access.require_in_state(actor, power)
    except ServiceError as error:
        return error.code
    return None


@pytest.mark.parametrize(
    ("state", "code"), [(OPEN, None), (ARCHIVED, "projects.archived"), (CLOSED, "projects.closed")]
)
def test_the_state_is_told_where_it_alone_takes_the_power(state: str, code: str | None) -> None:
    guest = ProjectAccess.of_relation(replace(COPY, state=state), GUEST, STRANGER)
    assert refusal(guest, STRANGER, ADD) == code
    assert refusal(guest, STRANGER, MANAGE) == "access.power_needed"


def test_what_projects_answers_is_read_as_it_was_told_and_names_no_other_company() -> None:
    guest = ProjectAccess.of_relation(COPY, GUEST, STRANGER)
    assert ProjectAccess.of_answer(dump(Access, guest.answer()), STRANGER) == guest
    assert guest.group == ("c1",)
