"""Issue 6.2: e-mail changes mailed strangers without limit; they count for account and address, before any work."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from services.accounts.api import Actor, requests
from services.accounts.commands import email_changes
from services.accounts.models import ThrottleRow
from services.accounts.store import throttles
from services.accounts.tests.conftest import PASSWORD, World
from services.accounts.tests.test_limits import Counting
from services.accounts.tests.test_story import refused
from services.chassis.context import Call
from services.chassis.errors import ServiceError

VICTIM = "victim@example.org"


class Watching(Counting):
    """A hasher that counts the passwords that it was asked about."""

    asked = 0

    def verify(self, stored: str | None, password: str) -> bool:
        self.asked += 1
        return super().verify(stored, password)


def change(world: World, call: Call, email: str, password: str = PASSWORD, *, again: bool = False) -> None:
    world.do(email_changes.change_email, requests.ChangeEmailRequest, call, again=again, email=email, password=password)


def sent_to(world: World, email: str) -> int:
    return sum(mail["to"] == email for mail in world.mails())


@pytest.mark.parametrize("with_account", [False, True])
def test_an_address_gets_three_mails_a_day_whoever_asks(world: World, with_account: bool) -> None:
    if with_account:
        world.activate(VICTIM)
    before = sent_to(world, VICTIM)
    people = [world.member(f"user{number}@example.org") for number in range(5)]
    for call in people[:3]:
        change(world, call, VICTIM.upper())
    watching = Watching(world.kit.hasher)
    world.kit = replace(world.kit, hasher=watching)
    mails, events = len(world.mails()), world.types()
    for call in people[3:]:
        with pytest.raises(ServiceError) as caught:
            change(world, call, VICTIM)
        assert (caught.value.code, caught.value.status) == ("accounts.address_mailed_enough", 429)
        assert caught.value.extra["limit"] == 3
        assert 86000 < caught.value.extra["retry_after"] <= 86400
    assert (watching.asked, len(world.mails()), world.types()) == (0, mails, events)
    assert sum(mail["to"].casefold() == VICTIM for mail in world.mails()) == before + 3
    # Another address is not held up by it.
    change(world, people[3], "own@example.org")
    assert sent_to(world, "own@example.org") == 1
    with world.database.engine.begin() as connection:
        key = throttles.key_of("email_change", "address", VICTIM)
        earlier = datetime.now(UTC) - timedelta(days=1, seconds=1)
        values = {"window_started_at": earlier, "blocked_until": earlier}
        assert connection.execute(sa.update(ThrottleRow).where(ThrottleRow.key == key).values(**values)).rowcount == 1
    change(world, people[4], VICTIM)


def test_an_account_asks_ten_times_a_day_to_whatever_addresses(world: World) -> None:
    call, other = world.member("ada@example.org"), world.member("bob@example.org")
    for number in range(10):
        change(world, call, f"stranger{number}@example.org")
    watching = Watching(world.kit.hasher)
    world.kit = replace(world.kit, hasher=watching)
    mails = len(world.mails())
    with pytest.raises(ServiceError) as caught:
        change(world, call, "stranger10@example.org")
    assert (caught.value.code, caught.value.status) == ("accounts.too_many_email_changes", 429)
    assert 3000 < caught.value.extra["retry_after"] <= 3600
    assert (watching.asked, len(world.mails())) == (0, mails)
    # A colleague at the same desk is another account, and the address was not counted by the refusal.
    for _ in range(3):
        change(world, other, "stranger10@example.org")
    assert Actor.of(call).user_id != Actor.of(other).user_id


def test_a_mistyped_password_does_not_use_up_the_address_and_counts_for_the_account(world: World) -> None:
    call = world.member("ada@example.org")
    for _ in range(6):
        with refused("accounts.password_wrong"):
            change(world, call, "new@example.org", "a wrong password")
    for _ in range(3):
        change(world, call, "new@example.org")
    with refused("accounts.address_mailed_enough"):
        change(world, call, "new@example.org")
    with refused("accounts.too_many_email_changes"):
        change(world, call, "other@example.org")


def test_a_repetition_is_no_further_mail_and_is_answered_beyond_the_limit(world: World) -> None:
    call = world.member("ada@example.org")
    for _ in range(5):
        change(world, call, "new@example.org", again=True)
    assert sent_to(world, "new@example.org") == 1
    for _ in range(2):
        change(world, call, "new@example.org")
    with refused("accounts.address_mailed_enough"):
        change(world, call, "new@example.org")
    change(world, call, "new@example.org", again=True)
    assert sent_to(world, "new@example.org") == 3
