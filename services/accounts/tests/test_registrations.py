"""Registrations that meet, and logins before the link: nobody gets an account with a password of somebody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from eventlet.greenpool import GreenPool

from services.accounts.api import requests
from services.accounts.commands import registration
from services.accounts.models import Registration, User
from services.accounts.store.housekeeping import sweep
from services.accounts.tests.conftest import PASSWORD, World
from services.accounts.tests.test_story import refused
from services.chassis.errors import ServiceError

STRANGERS = "strangers horse battery"
CHOSEN = "chosen horse battery"
ADDRESS = "ada@example.org"


def confirm(world: World, token: str, **values: Any) -> None:
    world.do(registration.confirm_registration, requests.ConfirmRegistrationRequest, token=token, **values)


def resend(world: World) -> None:
    world.do(registration.resend_registration, requests.EmailRequest, email=ADDRESS)


def tokens(world: World) -> list[str]:
    return [mail["values"]["token"] for mail in world.mails() if mail["template"] == "activation"]


@pytest.mark.parametrize("first", [PASSWORD, STRANGERS])
@pytest.mark.parametrize("again", [False, True])
def test_a_second_registration_takes_no_account_over(world: World, first: str, again: bool) -> None:
    """Issue 6.2: registration taken over by a second registration and a resend."""
    world.register(ADDRESS, password=first)
    world.register(ADDRESS, password=STRANGERS if first == PASSWORD else PASSWORD, forename="Eve")
    if again:
        resend(world)
    for token in tokens(world)[2 if again else 0 :]:
        for _ in range(2):
            with refused("accounts.password_needed"):
                confirm(world, token)
        with refused("accounts.password_too_common"):
            confirm(world, token, password="password123")
    confirm(world, tokens(world)[-1], password=CHOSEN)
    assert world.login(ADDRESS, CHOSEN)
    for password in (PASSWORD, STRANGERS):
        with refused("accounts.login_failed"):
            world.login(ADDRESS, password)
    for token in tokens(world):
        with refused("accounts.link_invalid"):
            confirm(world, token, password=STRANGERS)


def test_the_password_is_needed_also_when_the_other_registration_ran_out(world: World) -> None:
    """Issue 6.2: the own link runs out, a resend mails the stranger's."""
    world.register(ADDRESS)
    world.register(ADDRESS, password=STRANGERS)
    with world.database.engine.begin() as connection:
        table = Registration.__table__
        rows = connection.execute(sa.select(table.c.id, table.c.created_at).order_by(table.c.id)).all()
        expired = datetime.now(UTC) - timedelta(seconds=1)
        changes = {"created_at": expired - timedelta(hours=47), "expires_at": expired}
        connection.execute(sa.update(Registration).where(table.c.id == rows[0].id).values(**changes))
        changes = {"created_at": expired - timedelta(hours=1)}
        connection.execute(sa.update(Registration).where(table.c.id == rows[1].id).values(**changes))
    world.database.write(sweep)
    resend(world)
    with refused("accounts.password_needed"):
        confirm(world, tokens(world)[-1])


def test_one_registration_alone_needs_no_password_and_may_choose_one(world: World) -> None:
    world.register(ADDRESS)
    resend(world)
    confirm(world, tokens(world)[-1])
    assert world.login(ADDRESS)
    world.register("bob@example.org")
    confirm(world, tokens(world)[-1], password=CHOSEN)
    assert world.login("bob@example.org", CHOSEN)


def test_guessed_links_are_not_worth_a_hash(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 6.2: argon2 ran for guessed links."""

    def hashed(*_: Any) -> str:
        raise AssertionError("hashed for a guess")

    monkeypatch.setattr(type(world.kit.hasher), "hash", hashed)
    with refused("accounts.link_invalid"):
        confirm(world, "guessed", password=CHOSEN)


def test_two_links_of_an_address_that_are_used_at_once_make_one_account(world: World) -> None:
    for number in range(5):
        address = f"u{number}@example.org"
        for password in (PASSWORD, STRANGERS):
            world.register(address, password=password)

        def use(pair: tuple[str, str]) -> str:
            try:
                confirm(world, pair[0], password=pair[1])
            except ServiceError as error:
                return error.code
            return "done"

        outcomes = sorted(GreenPool(2).imap(use, zip(tokens(world)[-2:], (CHOSEN, CHOSEN + "!"), strict=True)))
        assert outcomes == ["accounts.link_invalid", "done"]
    with world.database.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(User)).scalar_one() == 5


def test_a_login_before_the_link_says_what_to_do_once_the_password_is_right(world: World) -> None:
    """Issue 6.2: login before activation said that the password is wrong."""
    world.register(ADDRESS)
    with refused("accounts.not_activated"):
        world.login(ADDRESS)
    with refused("accounts.login_failed"):
        world.login(ADDRESS, "a wrong password")
    with world.database.engine.begin() as connection:
        connection.execute(sa.update(Registration).values(created_at=datetime.now(UTC) - timedelta(hours=49)))
    with refused("accounts.login_failed"):
        world.login(ADDRESS)


def test_a_registration_by_a_stranger_tells_nothing_of_the_account_and_clears_no_guesses(world: World) -> None:
    """The same answer for an address with an account and for one without, and the guess stays counted."""
    world.activate("known@example.org")
    for address in ("known@example.org", "unknown@example.org"):
        world.register(address, password=STRANGERS)
        codes = []
        for number in range(11):
            with pytest.raises(ServiceError) as caught:
                world.login(address, STRANGERS if number % 2 else "a wrong password")
            codes.append(caught.value.code)
        assert codes == ["accounts.login_failed", "accounts.not_activated"] * 5 + ["accounts.too_many_attempts"]
