"""Service accounts: programs of the vendor with tokens and no login, which outlive who made them (ACC-11)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from services.accounts import api
from services.accounts.api import Actor, requests
from services.accounts.commands import exchanges, registration, staff
from services.accounts.commands import service_accounts as commands
from services.accounts.models import ServiceToken
from services.accounts.queries.names import get_names
from services.accounts.queries.service_accounts import list_service_accounts, list_service_tokens
from services.accounts.queries.staff import list_users_staff
from services.accounts.tests.conftest import PASSWORD, World, claims_of
from services.accounts.tests.test_story import refused
from services.chassis.context import Call
from services.chassis.errors import ServiceError
from services.chassis.fields import ListRequest
from services.chassis.ids import new_id


@pytest.fixture
def boss(world: World) -> Call:
    """Give a call of a staff member who has just logged in."""
    staff.create_staff(world.database, "boss@vendor.example", PASSWORD, hasher=world.kit.hasher)
    return world.call_of(world.login("boss@vendor.example"))


def make(world: World, call: Call, *scopes: str) -> str:
    """Return the id of a new service account."""
    values = {"name": "ERP", "scopes": list(scopes or ("orders",))}
    made = world.do(commands.create_service_account, api.CreateServiceAccountRequest, call, **values)
    assert (made["name"], made["scopes"], made["created_by"]) == (
        "ERP",
        sorted(scopes or ("orders",)),
        call.claims["sub"],
    )
    return str(made["id"])


def token_of(world: World, call: Call, account_id: str, **values: Any) -> dict[str, Any]:
    """Return a new token of a service account."""
    made: dict[str, Any] = world.do(
        commands.create_service_token, api.CreateServiceTokenRequest, call, account_id=account_id, **values
    )
    return made


def exchange(world: World, token: str) -> Call:
    """Return a call with the access token that the gateway gets for a token."""
    return world.call_of(world.do(exchanges.exchange_token, requests.ExchangeTokenRequest, token=token))


def test_its_token_is_a_program_without_company_role_or_login(world: World, boss: Call) -> None:
    account_id = make(world, boss, "search", "orders")
    made = token_of(world, boss, account_id)
    call = exchange(world, made["token"])
    actor = Actor.of(call)
    assert (actor.user_id, actor.session_id) == (account_id, made["id"])
    assert (actor.staff, actor.company_id, actor.role, actor.rights, actor.authenticated_at) == (
        False, None, None, frozenset(), None,
    )  # fmt: skip
    assert actor.scopes == {"orders", "search"}
    assert actor.serves("orders") and not actor.serves("events") and not actor.serves(None)
    actor.require_staff_or_service("write", "orders")
    with refused("accounts.staff_needed"):
        actor.require_staff_or_service("write", "events")
    assert [row["expires_at"] for row in tokens(world, boss, account_id)] == [made["expires_at"]]


def tokens(world: World, call: Call, account_id: str) -> list[dict[str, Any]]:
    """Return the listed tokens of a service account."""
    answer = world.do(list_service_tokens, api.ListServiceTokensRequest, call, account_id=account_id)
    assert all("token" not in item for item in answer["items"])
    items: list[dict[str, Any]] = answer["items"]
    return items


def test_a_scope_of_a_person_never_serves(world: World, boss: Call) -> None:
    """A login of staff has `events` too; it is a person all the same."""
    actor = Actor.of(boss)
    assert "events" in actor.scopes and not actor.serves("events")
    with pytest.raises(ServiceError):
        world.do(_create_api_token, requests.CreateApiTokenRequest, boss, name="t", scopes=["orders"])


def _create_api_token(database: Any, call: Call, request: Any, kit: Any) -> None:
    raise AssertionError("the schema lets a person have the scope of a service account")


def test_it_outlives_who_made_it_and_has_no_login_at_any_door(world: World, boss: Call) -> None:
    account_id = make(world, boss)
    token = token_of(world, boss, account_id)["token"]
    staff.create_staff(world.database, "other@vendor.example", PASSWORD, hasher=world.kit.hasher)
    other = world.call_of(world.login("other@vendor.example"))
    world.do(
        staff.update_user_staff, requests.UpdateUserStaffRequest, other, user_id=boss.claims["sub"], locked=True,
        staff=False,
    )  # fmt: skip
    call = exchange(world, token)
    assert call.claims["sub"] == account_id
    assert world.renew(call)["access_token"]
    mails = len(world.mails())
    for login in ("ERP", account_id, "boss@vendor.example"):
        for password in (token, PASSWORD):
            values = {"login": login, "password": password}
            with pytest.raises(ServiceError):
                world.do(exchanges.create_device_session, requests.CreateDeviceSessionRequest, **values)
    with refused("accounts.login_failed"):
        world.login("erp@vendor.example", token)
    world.do(registration.request_password_reset, requests.EmailRequest, email="erp@vendor.example")
    assert len(world.mails()) == mails
    listed = world.do(list_users_staff, requests.SearchRequest, other)["items"]
    assert {item["email"] for item in listed} == {"boss@vendor.example", "other@vendor.example"}
    named = world.do(get_names, requests.GetNamesRequest, other, user_ids=[account_id])
    assert named["users"] == {account_id: "ERP"}


def test_an_ended_account_and_a_withdrawn_token_are_dead_at_once(world: World, boss: Call) -> None:
    account_id = make(world, boss)
    first, second = token_of(world, boss, account_id), token_of(world, boss, account_id)
    calls = [exchange(world, made["token"]) for made in (first, second)]
    another = make(world, boss)
    values = {"account_id": another, "token_id": first["id"]}
    with refused("accounts.token_not_found"):
        world.do(commands.delete_service_token, api.ServiceTokenRequest, boss, **values)
    world.do(commands.delete_service_token, api.ServiceTokenRequest, boss, **{**values, "account_id": account_id})
    assert [item["id"] for item in tokens(world, boss, account_id)] == [second["id"]]
    with refused("token.invalid"):
        exchange(world, first["token"])
    with refused("accounts.session_ended"):
        world.renew(calls[0])
    world.renew(calls[1])
    world.do(commands.delete_service_account, api.ServiceAccountRequest, boss, account_id=account_id)
    with refused("token.invalid"):
        exchange(world, second["token"])
    with refused("accounts.session_ended"):
        world.renew(calls[1])
    told = {item["id"] for item in world.revocations() if item["kind"] == "session"}
    assert {first["id"], second["id"]} <= told
    for command in (token_of, tokens):
        with refused("accounts.service_account_not_found"):
            command(world, boss, account_id)
    with refused("accounts.service_account_not_found"):
        world.do(commands.delete_service_account, api.ServiceAccountRequest, boss, account_id=account_id)
    left = world.do(list_service_accounts, ListRequest, boss)["items"]
    assert [item["id"] for item in left] == [another]


def test_a_token_of_an_ended_account_is_dead_even_where_its_own_mark_is_missing(world: World, boss: Call) -> None:
    account_id = make(world, boss)
    made = token_of(world, boss, account_id)
    world.do(commands.delete_service_account, api.ServiceAccountRequest, boss, account_id=account_id)
    world.database.write(lambda unit: unit.execute(sa.update(ServiceToken).values(revoked_at=None)))
    with refused("token.invalid"):
        exchange(world, made["token"])


def test_tokens_live_90_days_or_as_asked_at_most_a_year_and_are_at_most_50(world: World, boss: Call) -> None:
    account_id, now = make(world, boss), datetime.now(UTC)

    def at(days: int) -> str:
        return (now + timedelta(days=days)).isoformat()

    life = datetime.fromisoformat(token_of(world, boss, account_id)["expires_at"]) - now
    assert timedelta(days=89) < life < timedelta(days=91)
    for days, code in ((-1, "accounts.expiry_past"), (367, "accounts.expiry_too_late")):
        with refused(code):
            token_of(world, boss, account_id, expires_at=at(days))
    short = token_of(world, boss, account_id, expires_at=at(300))
    world.database.write(lambda unit: unit.execute(sa.update(ServiceToken).values(expires_at=unit.now)))
    with refused("token.invalid"):
        exchange(world, short["token"])
    for _ in range(50):
        token_of(world, boss, account_id)
    with refused("accounts.too_many_service_tokens"):
        token_of(world, boss, account_id)
    token_of(world, boss, make(world, boss))


def test_each_act_is_told_with_who_did_it_and_mailed(world: World, boss: Call) -> None:
    account_id = make(world, boss)
    made = token_of(world, boss, account_id)
    values = {"account_id": account_id, "token_id": made["id"]}
    world.do(commands.delete_service_token, api.ServiceTokenRequest, boss, **values)
    token_of(world, boss, account_id)
    world.do(commands.delete_service_account, api.ServiceAccountRequest, boss, account_id=account_id)
    told = [event for event in world.events() if event["type"].startswith("service_")]
    assert Counter(event["type"] for event in told) == {
        "service_account_created": 1,
        "service_token_created": 2,
        "service_token_revoked": 2,
        "service_account_ended": 1,
    }
    assert {(event["subject"], event["actorid"]) for event in told} == {(account_id, boss.claims["sub"])}
    assert made["token"] not in str(told)
    mails = [mail["to"] for mail in world.mails() if mail["template"] == "service_account_changed"]
    assert mails == ["boss@vendor.example"] * 5
    acts = [mail["values"]["act"] for mail in world.mails() if mail["template"] == "service_account_changed"]
    assert Counter(acts) == {
        "service_account_created": 1,
        "service_token_created": 2,
        "service_token_revoked": 1,
        "service_account_ended": 1,
    }


def test_only_staff_with_a_login_of_the_last_minutes_handle_them(world: World, boss: Call) -> None:
    account_id = make(world, boss)
    program = exchange(world, token_of(world, boss, account_id)["token"])
    admin = world.admin("ada@example.org")
    old = replace(boss, claims={**boss.claims, "auth_time": boss.claims["auth_time"] - 601})
    forged = replace(program, claims={**program.claims, "staff": True, "scopes": ["orders", "account", "write"]})
    acts: tuple[Callable[[Call], Any], ...] = (
        lambda call: make(world, call),
        lambda call: token_of(world, call, account_id),
        lambda call: tokens(world, call, account_id),
        lambda call: world.do(list_service_accounts, ListRequest, call),
        lambda call: world.do(commands.delete_service_account, api.ServiceAccountRequest, call, account_id=account_id),
        lambda call: world.do(
            commands.delete_service_token, api.ServiceTokenRequest, call, account_id=account_id, token_id=new_id()
        ),
    )
    for act in acts:
        for call, code in (
            (admin, "accounts.staff_needed"),
            (old, "accounts.confirmation_needed"),
            (program, "accounts.login_needed"),
            (forged, "accounts.login_needed"),
        ):
            with refused(code):
                act(call)
    assert claims_of(world.kit, program.token)["scopes"] == ["orders"]


def test_it_waits_for_no_second_factor_where_staff_need_one(world: World, boss: Call) -> None:
    """Decision 9 is about persons: a program cannot switch one on."""
    token = token_of(world, boss, make(world, boss, "orders"))["token"]
    world.kit = replace(world.kit, staff_otp=True)
    with refused("accounts.staff_otp_needed"):
        make(world, world.call_of(world.renew(boss)))
    program = exchange(world, token)
    for call in (program, world.call_of(world.renew(program))):
        actor = Actor.of(call)
        assert (actor.waits, actor.staff_waits, actor.serves("orders")) == (False, False, True)
        actor.require_staff_or_service("write", "orders")
