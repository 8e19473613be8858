"""Mails about devices of a company's concern: only wanted ones, at most one an hour, to its administrators (DEV-15)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from services.accounts.api import DEVICE_NOTICE, requests
from services.accounts.commands import companies, company_users
from services.accounts.commands.notices import apply_history_events, send_held
from services.accounts.models import DeviceNotice
from services.accounts.queries.companies import get_company
from services.accounts.tests.conftest import World
from services.accounts.tests.test_story import refused
from services.chassis.data.outbox import Event
from services.chassis.ids import new_id


def tell(world: World, company_id: str, type: str = DEVICE_NOTICE, count: int = 1) -> None:
    """Let history pass on that something was done."""
    data = {"action": "paid_device_used_elsewhere"}
    events = [
        Event(new_id(), "history", type, datetime.now(UTC), "00-90-33-00-00-01", 1, data, company_id)
        for _ in range(count)
    ]
    world.database.write(lambda unit: apply_history_events(unit, events, world.kit.keys))


def mails(world: World) -> list[tuple[str, str]]:
    """Return address and language of the mails that wait."""
    return [(mail["to"], mail["language"]) for mail in world.mails() if mail["template"] == "device_notice"]


def an_hour_passes(world: World) -> None:
    """Let the pause after the last mail be over, and look for what was held back."""
    with world.database.engine.begin() as connection:
        connection.execute(sa.update(DeviceNotice).values(sent_at=datetime.now(UTC) - timedelta(hours=1, seconds=1)))
    world.database.write(lambda unit: send_held(unit, world.kit.keys))


def want(world: World, admin: Any, wanted: bool = True) -> dict[str, Any]:
    """Ask for the mails or end them."""
    answer: dict[str, Any] = world.do(
        companies.update_company, requests.UpdateCompanyRequest, admin, device_notices=wanted
    )
    return answer


def test_mails_are_sent_to_those_who_want_them_and_no_flood_of_them(world: World) -> None:
    """Issue 6.1: the payer never heard of it; and a stranger must not be able to fill his mailbox."""
    admin = world.admin("ada@example.org")
    company_id = admin.claims["company"]
    assert get_company(world.database, admin)["device_notices"] is False
    tell(world, company_id)
    assert mails(world) == []
    assert want(world, admin)["device_notices"] is True
    assert get_company(world.database, admin)["device_notices"] is True
    for _ in range(5):
        tell(world, company_id, count=20)
    assert mails(world) == [("ada@example.org", "en")]
    # What came in the hour is told by one more mail when it is over, and by none when nothing came.
    an_hour_passes(world)
    assert len(mails(world)) == 2
    an_hour_passes(world)
    assert len(mails(world)) == 2
    tell(world, company_id)
    assert len(mails(world)) == 3
    tell(world, company_id)
    want(world, admin, wanted=False)
    an_hour_passes(world)
    tell(world, company_id)
    assert len(mails(world)) == 3


def test_only_administrators_who_can_work_get_them_each_in_his_language(world: World) -> None:
    admin = world.admin("ada@example.org")
    for name, language in (("bob", "de"), ("eve", "de"), ("max", "en")):
        world.activate(f"{name}@example.org", language=language)
    users = {name: world.join(admin, f"{name}@example.org") for name in ("bob", "eve", "max")}
    change = company_users.update_company_user
    for name in ("bob", "eve"):
        world.do(change, requests.UpdateCompanyUserRequest, admin, user_id=users[name], role="admin")
    world.do(change, requests.UpdateCompanyUserRequest, admin, user_id=users["eve"], locked=True)
    want(world, admin)
    tell(world, admin.claims["company"])
    assert sorted(mails(world)) == [("ada@example.org", "en"), ("bob@example.org", "de")]


def test_other_events_and_unknown_companies_send_nothing(world: World) -> None:
    admin = world.admin("ada@example.org")
    want(world, admin)
    tell(world, admin.claims["company"], type="company_merge_applied_not")
    tell(world, new_id())
    assert mails(world) == []


def test_the_setting_is_told_in_the_history(world: World) -> None:
    admin = world.admin("ada@example.org")
    first = want(world, admin)
    again = want(world, admin)
    assert again["version"] == first["version"]


def test_an_api_token_neither_silences_nor_orders_the_mails(world: World) -> None:
    """Issue 6.2: a stolen API token of scope `write` could silence what is told of stolen devices."""
    admin = world.admin("ada@example.org")
    want(world, admin)
    token = replace(admin, claims={**admin.claims, "auth_time": None, "scopes": ["read", "write"]})
    before = world.types()
    for wanted in (False, True):
        with refused("accounts.login_needed"):
            want(world, token, wanted=wanted)
    assert (get_company(world.database, admin)["device_notices"], world.types()) == (True, before)
    # A name is what programs may keep up to date.
    world.do(companies.update_company, requests.UpdateCompanyRequest, token, name="Acme again")
