"""Issue 6.2: staff, and users of a company that demands it, need a second factor; no way leads around it (ACC-11)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.accounts.api import Actor, requests
from services.accounts.commands import api_tokens as tokens
from services.accounts.commands import companies, company_imports, exchanges, second_factor, sessions
from services.accounts.commands.staff import create_staff
from services.accounts.queries.companies import get_company
from services.accounts.tests.conftest import PASSWORD, World
from services.accounts.tests.test_account import with_second_factor
from services.accounts.tests.test_story import refused
from services.chassis.context import Call
from services.chassis.fields import EmptyRequest


def demand(world: World, admin: Call, *, demanded: bool = True) -> dict[str, Any]:
    """Let an administrator demand a second factor of the company's users."""
    schema = requests.UpdateCompanyRequest
    answer: dict[str, Any] = world.do(companies.update_company, schema, admin, otp_demanded=demanded)
    return answer


def company_of(call: Call) -> str:
    """Return the company of a call's token."""
    assert call.claims is not None
    return str(call.claims["company"])


def refresh(world: World, answer: dict[str, Any], **values: Any) -> dict[str, Any]:
    """Refresh a session."""
    schema = requests.RefreshSessionRequest
    fresh: dict[str, Any] = world.do(sessions.refresh_session, schema, refresh_token=answer["refresh_token"], **values)
    return fresh


def is_limited(world: World, answer: dict[str, Any]) -> bool:
    """Tell whether a token is good for nothing but a second factor, and see that nothing else is in it."""
    actor = Actor.of(world.call_of(answer))
    if not actor.waits:
        return False
    assert (actor.company_id, actor.company_ids, actor.role, actor.rights) == (None, (), None, frozenset())
    assert actor.scopes == {"enrolment"}
    return True


@pytest.fixture
def admin(world: World) -> Call:
    """Give an administrator whose company demands a second factor; bob@example.org is in it and has none."""
    admin = world.admin("ada@example.org")
    world.activate("bob@example.org")
    world.join(admin, "bob@example.org")
    return admin


def test_the_demand_is_told_recorded_and_mailed(world: World, admin: Call) -> None:
    assert get_company(world.database, admin)["otp_demanded"] is False
    before = len(world.events())
    assert demand(world, admin)["otp_demanded"] is True
    assert get_company(world.database, admin)["otp_demanded"] is True
    (event,) = world.events()[before:]
    assert (event["type"], event["data"]["what"]) == ("company_changed", ["otp_demanded"])
    assert [mail["to"] for mail in world.mails() if mail["template"] == "otp_demand_changed"] == ["ada@example.org"]
    demand(world, admin)
    assert len(world.events()) == before + 1
    assert demand(world, admin, demanded=False)["otp_demanded"] is False
    acts = [mail["values"]["act"] for mail in world.mails() if mail["template"] == "otp_demand_changed"]
    assert acts == ["otp_demand_on", "otp_demand_off"]
    assert not is_limited(world, world.login("bob@example.org"))


def test_a_member_cannot_demand_it_and_a_name_needs_no_recent_login(world: World, admin: Call) -> None:
    with refused("accounts.admin_needed"):
        demand(world, world.call_of(world.login("bob@example.org")))
    assert admin.claims is not None
    old = replace(admin, claims={**admin.claims, "auth_time": admin.claims["auth_time"] - 601})
    with refused("accounts.confirmation_needed"):
        demand(world, old)
    with refused("accounts.login_needed"):
        demand(world, replace(admin, claims={**admin.claims, "auth_time": None}))
    world.do(companies.update_company, requests.UpdateCompanyRequest, old, name="Acme again")
    assert get_company(world.database, admin)["otp_demanded"] is False


def test_from_the_next_login_on_a_user_can_do_nothing_but_switch_one_on(world: World, admin: Call) -> None:
    before = world.login("bob@example.org")
    demand(world, admin)
    # "From their next login on": a session that was there goes on in this company.
    assert not is_limited(world, refresh(world, before))
    assert not is_limited(world, world.renew(world.call_of(before)))
    answer = world.login("bob@example.org")
    assert answer["otp_demanded"] is True
    assert is_limited(world, answer)
    fresh = refresh(world, answer)
    assert is_limited(world, fresh)
    call = world.call_of(fresh)
    assert is_limited(world, world.renew(call))
    for name in ("read", "write", "device", "account", "events"):
        with refused("accounts.otp_demanded"):
            Actor.of(call).require_scope(name)
    with refused("accounts.otp_demanded"):
        world.do(companies.create_company, requests.CreateCompanyRequest, call, name="Mine")
    with refused("accounts.otp_demanded"):
        schema = requests.CreateApiTokenRequest
        world.do(tokens.create_api_token, schema, call, name="ERP", scopes=["read"])
    with_second_factor(world, call)
    assert company_of(world.call_of(world.renew(call))) == company_of(admin)
    assert not is_limited(world, refresh(world, fresh))


def test_a_factor_that_is_switched_off_again_ends_what_it_opened(world: World, admin: Call) -> None:
    demand(world, admin)
    call = world.call_of(world.login("bob@example.org"))
    with_second_factor(world, call)
    whole = world.call_of(world.renew(call))
    world.do(second_factor.delete_otp, EmptyRequest, whole)
    assert is_limited(world, world.renew(whole))


def test_no_switch_and_no_refresh_leads_around_it(world: World, admin: Call) -> None:
    acme = company_of(admin)
    answer = world.login("bob@example.org", company_id=acme)
    own = world.do(companies.create_company, requests.CreateCompanyRequest, world.call_of(answer), name="Bob's")["id"]
    elsewhere = refresh(world, answer, company_id=own)
    demand(world, admin)
    assert not is_limited(world, refresh(world, elsewhere))
    inside = refresh(world, elsewhere, company_id=acme)
    assert is_limited(world, inside)
    again = refresh(world, inside)
    assert is_limited(world, again)
    back = refresh(world, again, company_id=own)
    assert company_of(world.call_of(back)) == own
    assert is_limited(world, world.renew(world.call_of(back), company_id=acme))
    # A session that was there before lost its place by going elsewhere.
    assert is_limited(world, refresh(world, back, company_id=acme))


def test_a_renewal_for_another_company_is_a_login_there(world: World, admin: Call) -> None:
    answer = world.login("bob@example.org", company_id=company_of(admin))
    own = world.do(companies.create_company, requests.CreateCompanyRequest, world.call_of(answer), name="Bob's")["id"]
    elsewhere = refresh(world, answer, company_id=own)
    demand(world, admin)
    # It has been elsewhere since before the demand, which counts for nothing here.
    assert is_limited(world, world.renew(world.call_of(elsewhere), company_id=company_of(admin)))
    assert is_limited(world, refresh(world, elsewhere))


def test_api_tokens_and_passwords_of_devices_stop_too(world: World, admin: Call) -> None:
    bob = world.call_of(world.login("bob@example.org"))
    schema = requests.CreateApiTokenRequest
    token = world.do(tokens.create_api_token, schema, bob, name="box", scopes=["read", "device"])["token"]
    exchange, basic = requests.ExchangeTokenRequest, requests.CreateDeviceSessionRequest
    world.do(exchanges.exchange_token, exchange, token=token)
    world.do(exchanges.create_device_session, basic, login="bob@example.org", password=PASSWORD)
    demand(world, admin)
    with refused("accounts.otp_demanded"):
        world.do(exchanges.exchange_token, exchange, token=token)
    for password in (PASSWORD, token):
        with refused("accounts.otp_demanded"):
            world.do(exchanges.create_device_session, basic, login="bob@example.org", password=password)
    with refused("accounts.login_failed"):
        world.do(exchanges.create_device_session, basic, login="bob@example.org", password="a wrong password")
    with_second_factor(world, bob)
    world.do(exchanges.exchange_token, exchange, token=token)
    world.do(exchanges.create_device_session, basic, login="bob@example.org", password=token)


def test_a_company_that_demands_it_is_not_imported_by_a_password_alone(world: World, admin: Call) -> None:
    demand(world, admin)
    thief = world.admin("eve@example.org", "Evil")
    before = world.types()
    for dry_run in (True, False):
        with refused("accounts.otp_demanded"):
            world.do(
                company_imports.import_company, requests.ImportCompanyRequest, thief, email="ada@example.org",
                password=PASSWORD, dry_run=dry_run,
            )  # fmt: skip
    assert world.types() == before


def test_staff_without_one_are_led_to_it(world: World) -> None:
    create_staff(world.database, "sue@example.org", PASSWORD, hasher=world.kit.hasher)
    world.kit = replace(world.kit, staff_otp=True)
    answer = world.login("sue@example.org")
    assert answer["otp_demanded"] is True
    assert is_limited(world, answer)
    call = world.call_of(answer)
    with refused("accounts.staff_otp_needed"):
        Actor.of(call).require_scope("read")
    with refused("accounts.staff_otp_needed"):
        Actor.of(call).require_staff()
    with_second_factor(world, call)
    Actor.of(world.call_of(refresh(world, answer))).require_staff()


def test_who_waits_ends_the_own_session_and_no_other(world: World, admin: Call) -> None:
    other = Actor.of(world.call_of(world.login("bob@example.org"))).session_id
    demand(world, admin)
    waiting = world.call_of(world.login("bob@example.org"))
    with refused("accounts.otp_demanded"):
        world.do(sessions.delete_session, requests.SessionRequest, waiting, session_id=other)
    world.do(sessions.delete_session, requests.SessionRequest, waiting, session_id="current")
