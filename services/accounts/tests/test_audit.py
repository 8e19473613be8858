"""Accounts' audit: clean after everything that people do, and telling for each thing that was done behind its back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from services.accounts.api import Actor, requests
from services.accounts.audit.people import check_people
from services.accounts.commands import api_tokens, company_users, erasure, sessions
from services.accounts.models import ApiToken, Company, Mail, Membership, Session, User
from services.accounts.tests.conftest import PASSWORD, World
from services.accounts.tests.test_account import with_second_factor


def flaws(world: World) -> list[str]:
    checks = world.database.read(lambda connection: check_people(connection, world.kit.keys), snapshot=True)
    return [flaw for check in checks for flaw in check.flaws]


@pytest.fixture
def busy(world: World) -> World:
    """A world in which somebody did everything once."""
    admin = world.admin("ada@example.org")
    for address in ("bob@example.org", "eve@example.org", "zoe@example.org"):
        world.activate(address)
        world.join(admin, address)
    bob, eve = (world.call_of(world.login(address)) for address in ("bob@example.org", "eve@example.org"))
    with_second_factor(world, bob)
    world.do(api_tokens.create_api_token, requests.CreateApiTokenRequest, bob, name="x", scopes=["read"])
    user_id = Actor.of(eve).user_id
    world.do(company_users.update_company_user, requests.UpdateCompanyUserRequest, admin, user_id=user_id, locked=True)
    zoe = world.call_of(world.login("zoe@example.org"))
    world.do(erasure.erase_me, requests.PasswordRequest, zoe, password=PASSWORD)
    world.do(sessions.delete_session, requests.SessionRequest, admin, session_id="current")
    world.login("ada@example.org")
    world.do(erasure.erase_me, requests.PasswordRequest, world.admin("sol@example.org", "Sol"), password=PASSWORD)
    return world


def test_what_people_do_leaves_the_audit_clean(busy: World) -> None:
    assert flaws(busy) == []


Change = Callable[[sa.Connection], Any]
CHANGES: list[tuple[Change, str]] = [
    (lambda c: c.execute(sa.update(Membership).values(locked=True)), "no unlocked administrator"),
    (lambda c: c.execute(sa.update(Membership).values(role="member")), "no unlocked administrator"),
    (lambda c: c.execute(sa.update(User).values(erased_at=datetime.now(UTC))), "something is left"),
    (lambda c: c.execute(sa.update(User).values(locked=True)), "is locked or gone"),
    (lambda c: c.execute(sa.delete(Membership).where(Membership.role == "member")), "may not work"),
    (lambda c: c.execute(sa.update(User).values(password_hash="hunter2")), "users.password_hash holds something"),
    (lambda c: c.execute(sa.update(ApiToken).values(token_hash="tsk_x")), "api_tokens.token_hash holds something"),
    (lambda c: c.execute(sa.update(Mail).values(sealed=b"x", next_at=datetime.now(UTC))), "waits and cannot be opened"),
    (lambda c: c.execute(sa.update(Mail).values(sealed=b"x", next_at=None)), "its content is still there"),
    (lambda c: c.execute(sa.update(User).where(User.otp_secret.is_not(None)).values(otp_secret=b"x")), "second factor"),
    (lambda c: c.execute(sa.update(Session).values(ended_at=None)), "session"),
    (lambda c: c.execute(sa.update(Company).values(absorbed_into=Company.id)), "which is not there"),
]


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_what_was_done_behind_its_back_is_told(busy: World, number: int) -> None:
    change, text = CHANGES[number]
    with busy.database.engine.begin() as connection:
        change(connection)
    assert [flaw for flaw in flaws(busy) if text in flaw]
