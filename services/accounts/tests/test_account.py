"""One's own account: data, password, address, API tokens, second factor, erasure."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.accounts import otp
from services.accounts.api import Actor, answers, requests
from services.accounts.commands import (
    api_tokens,
    confirmations,
    exchanges,
    invitations,
    me,
    registration,
    second_factor,
    sessions,
)
from services.accounts.commands.staff import create_staff
from services.accounts.queries.api_tokens import list_api_tokens
from services.accounts.queries.me import get_me
from services.accounts.queries.staff import list_users_staff
from services.accounts.tests.conftest import PASSWORD, World, claims_of
from services.accounts.tests.test_story import refused
from services.chassis.context import Call
from services.chassis.errors import ServiceError
from services.chassis.fields import EmptyRequest

NEW_PASSWORD = "another horse battery"


def test_personal_data_are_changed_and_the_rest_stays(world: World) -> None:
    call = world.member("ada@example.org")
    changed = world.do(me.update_me, requests.UpdateMeRequest, call, forename="Augusta", if_version=1)
    assert answers.Me().validate(changed) == {}
    assert (changed["forename"], changed["surname"], changed["version"]) == ("Augusta", "Lovelace", 2)
    assert world.events()[-1]["data"]["what"] == ["forename"]
    with refused("request.stale"):
        world.do(me.update_me, requests.UpdateMeRequest, call, surname="King", if_version=1)
    with refused("request.invalid"):
        world.do(me.update_me, requests.UpdateMeRequest, call, staff=True)


def test_a_new_password_ends_the_other_sessions_and_no_repetition_fails(world: World) -> None:
    world.activate("ada@example.org")
    other = world.login("ada@example.org")
    call = world.call_of(world.login("ada@example.org"))
    change = (me.change_password, requests.ChangePasswordRequest, call)
    with refused("accounts.password_wrong"):
        world.do(*change, old_password="a wrong password", password=NEW_PASSWORD)
    with refused("accounts.password_too_common"):
        world.do(*change, old_password=PASSWORD, password="password123")
    with refused("accounts.password_too_common"):
        world.do(*change, old_password=PASSWORD, password="Lovelace1815")
    for _ in range(2):
        world.do(*change, again=True, old_password=PASSWORD, password=NEW_PASSWORD)
    assert world.renew(call)
    with refused("accounts.refresh_invalid"):
        world.do(sessions.refresh_session, requests.RefreshSessionRequest, refresh_token=other["refresh_token"])
    with refused("accounts.login_failed"):
        world.login("ada@example.org")
    assert world.login("ada@example.org", NEW_PASSWORD)
    assert [mail["template"] for mail in world.mails()].count("password_changed") == 1


def test_a_forgotten_password_is_replaced_by_a_link(world: World) -> None:
    world.activate("ada@example.org")
    call = world.call_of(world.login("ada@example.org"))
    for address in ("ADA@example.org", "nobody@example.org"):
        assert world.do(registration.request_password_reset, requests.EmailRequest, email=address) == {}
    confirm = (registration.confirm_password_reset, requests.ConfirmPasswordResetRequest)
    token = world.last_token("password_reset")
    with refused("accounts.password_too_common"):
        world.do(*confirm, token=token, password="qwertyuiop")
    world.do(*confirm, token=token, password=NEW_PASSWORD)
    with refused("accounts.link_invalid"):
        world.do(*confirm, token=token, password=PASSWORD)
    with refused("accounts.session_ended"):
        world.renew(call)
    assert world.login("ada@example.org", NEW_PASSWORD)


def test_mails_to_one_address_are_few_and_the_answer_does_not_tell(world: World) -> None:
    world.activate("ada@example.org")
    for _ in range(12):
        assert world.do(registration.request_password_reset, requests.EmailRequest, email="ada@example.org") == {}
    assert [mail["template"] for mail in world.mails()].count("password_reset") <= 5


def test_an_api_token_does_what_its_scopes_say_until_it_is_revoked(world: World) -> None:
    call = world.admin("ada@example.org")
    actor = Actor.of(call)
    create = (api_tokens.create_api_token, requests.CreateApiTokenRequest, call)
    values: dict[str, Any] = {"name": "ERP", "scopes": ["read", "device"]}
    made = world.do(*create, **values)
    assert answers.NewApiToken().validate(made) == {}
    assert world.do(*create, again=True, **values) == world.do(*create, again=True, **values)
    access = world.do(exchanges.exchange_token, requests.ExchangeTokenRequest, token=made["token"])
    claims = claims_of(world.kit, access["access_token"])
    assert (claims["sid"], claims["scopes"], claims["company"]) == (made["id"], ["device", "read"], actor.company_id)
    bound = world.call_of(access)
    for refused_call in (
        lambda: world.do(*create[:2], bound, **values),
        lambda: list_api_tokens(world.database, bound, {"limit": 50, "cursor": None}),
        lambda: world.do(invitations.add_company_user, requests.AddCompanyUserRequest, bound, email="x@example.org"),
    ):
        with refused("accounts.login_needed"):
            refused_call()
    device = world.do(
        exchanges.create_device_session,
        requests.CreateDeviceSessionRequest,
        login="ada@example.org",
        password=made["token"],
    )
    assert claims_of(world.kit, device["access_token"])["scopes"] == ["device", "read"]
    assert world.renew(bound)
    listed = list_api_tokens(world.database, call, {"limit": 50, "cursor": None})
    assert answers.ApiTokenList().validate(listed) == {}
    assert [item["last_used_at"] is not None for item in listed["items"] if item["id"] == made["id"]] == [True]

    stranger = world.member("eve@example.org")
    with refused("accounts.token_not_found"):
        world.do(api_tokens.delete_api_token, requests.TokenIdRequest, stranger, token_id=made["id"])
    world.do(api_tokens.delete_api_token, requests.TokenIdRequest, call, token_id=made["id"])
    for wrong in (made["token"], "tsk_nonsense"):
        with refused("token.invalid"):
            world.do(exchanges.exchange_token, requests.ExchangeTokenRequest, token=wrong)
    with refused("accounts.session_ended"):
        world.renew(bound)


def test_wrong_api_tokens_are_refused(world: World) -> None:
    call = world.admin("ada@example.org")
    create = (api_tokens.create_api_token, requests.CreateApiTokenRequest, call)
    with refused("accounts.scope_refused"):
        world.do(*create, name="x", scopes=["events"])
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    with refused("accounts.expiry_past"):
        world.do(*create, name="x", scopes=["read"], expires_at=past)
    wrongs: list[dict[str, Any]] = [
        {"scopes": ["everything"]},
        {"scopes": []},
        {"name": " "},
        {"expires_at": "2030-01-01T00:00:00"},
    ]
    for wrong in wrongs:
        with refused("request.invalid"):
            world.do(*create, **{"name": "x", "scopes": ["read"], **wrong})


def code_of(secret: str, steps: int = 0) -> str:
    """Return the code of an authenticator app, some time steps from now."""
    raw = base64.b32decode(secret + "=" * (-len(secret) % 8))
    return otp.code_at(raw, otp.step_of(datetime.now(UTC)) + steps)


def with_second_factor(world: World, call: Call) -> tuple[str, list[str]]:
    """Switch the second factor on; returns the secret and the recovery codes."""
    secret = world.do(second_factor.create_otp, EmptyRequest, call)["secret"]
    confirm, step = (second_factor.confirm_otp, requests.OtpRequest, call), otp.step_of(datetime.now(UTC))
    try:
        answer = world.do(*confirm, otp=code_of(secret, -1))
    except ServiceError:
        # A time step ended between the code and its check, and the code was of the one before the last.
        if otp.step_of(datetime.now(UTC)) == step:
            raise
        answer = world.do(*confirm, otp=code_of(secret, -1))
    return secret, answer["recovery_codes"]


def test_a_second_factor_is_asked_and_each_code_works_once(world: World) -> None:
    call = world.member("ada@example.org")
    with refused("accounts.otp_not_started"):
        world.do(second_factor.confirm_otp, requests.OtpRequest, call, otp="123456")
    secret, codes = with_second_factor(world, call)
    with refused("accounts.otp_needed"):
        world.login("ada@example.org")
    with refused("accounts.login_failed"):
        world.login("ada@example.org", "a wrong password")
    code = code_of(secret)
    assert world.login("ada@example.org", otp=code)
    for wrong in (code, "000000", "aaaa-bbbb-cccc-dddd"):
        with refused("accounts.login_failed"):
            world.login("ada@example.org", otp=wrong)
    assert len(set(codes)) == 10
    assert world.login("ada@example.org", otp=codes[0].upper())
    with refused("accounts.login_failed"):
        world.login("ada@example.org", otp=codes[0])
    # Who has the right password is told the way in, and is counted; a wrong one learns nothing.
    failed = sum(event["type"] == "login_failed" for event in world.events())
    for password, code in ((PASSWORD, "accounts.otp_needed"), ("a wrong password", "accounts.login_failed")):
        with refused(code):
            world.do(
                exchanges.create_device_session,
                requests.CreateDeviceSessionRequest,
                login="ada@example.org",
                password=password,
            )
    assert sum(event["type"] == "login_failed" for event in world.events()) == failed + 2
    assert get_me(world.database, call)["otp_enabled"] is True


def test_a_token_without_the_scope_of_a_login_starts_no_second_factor_and_confirms_nothing(world: World) -> None:
    call = world.member("ada@example.org")
    narrow = replace(call, claims={**call.claims, "scopes": ["read", "device"]})
    acts: tuple[tuple[Any, Any, dict[str, str]], ...] = (
        (second_factor.create_otp, EmptyRequest, {}),
        (second_factor.confirm_otp, requests.OtpRequest, {"otp": "123456"}),
        (confirmations.confirm_session, requests.ConfirmSessionRequest, {"password": PASSWORD}),
    )
    for command, schema, values in acts:
        with refused("accounts.scope_needed"):
            world.do(command, schema, narrow, **values)


def test_a_second_factor_is_switched_off_after_a_login(world: World) -> None:
    call = world.member("ada@example.org")
    with_second_factor(world, call)
    world.do(second_factor.delete_otp, EmptyRequest, call)
    assert world.login("ada@example.org")


def test_a_login_without_a_code_does_not_switch_the_factor_off_again(world: World) -> None:
    """Issue 6.2: a thief with the password was in when the owner switched a second factor on, and had ten minutes."""
    owner = world.member("ada@example.org")
    thief = world.login("ada@example.org")
    stolen = world.call_of(thief)
    _, codes = with_second_factor(world, owner)
    with refused("accounts.confirmation_needed"):
        world.do(second_factor.delete_otp, EmptyRequest, stolen)
    fresh = world.do(sessions.refresh_session, requests.RefreshSessionRequest, refresh_token=thief["refresh_token"])
    for tokens in (fresh, world.renew(stolen)):
        with refused("accounts.confirmation_needed"):
            Actor.of(world.call_of(tokens)).require_recent_login()
    ask = (confirmations.confirm_session, requests.ConfirmSessionRequest, stolen)
    with refused("accounts.otp_needed"):
        world.do(*ask, password=PASSWORD)
    confirmed = world.call_of(world.do(*ask, password=PASSWORD, otp=codes[0]))
    world.do(second_factor.delete_otp, EmptyRequest, confirmed)


@pytest.mark.parametrize(
    ("step", "code"), [(1, "94287082"), (37037036, "07081804"), (37037037, "14050471"), (41152263, "89005924")]
)
def test_codes_are_those_of_the_standard(step: int, code: str) -> None:
    assert otp.code_at(b"12345678901234567890", step) == code[-6:]


def test_staff_without_a_second_factor_wait_where_it_is_demanded(world: World) -> None:
    world.activate("sue@example.org")
    create_staff(world.database, "sue@example.org", hasher=world.kit.hasher)
    relaxed = Actor.of(world.call_of(world.login("sue@example.org")))
    assert relaxed.staff
    relaxed.require_staff()
    world.kit = replace(world.kit, staff_otp=True)
    call = world.call_of(world.login("sue@example.org"))
    assert get_me(world.database, call)["otp_asked"] is True
    assert not Actor.of(call).staff
    assert "events" not in Actor.of(call).scopes
    with refused("accounts.staff_otp_needed"):
        Actor.of(call).require_staff()
    with refused("accounts.staff_otp_needed"):
        world.do(list_users_staff, requests.SearchRequest, call)
    with_second_factor(world, call)
    whole = world.call_of(world.renew(call))
    fresh = Actor.of(whole)
    fresh.require_staff()
    assert "events" in fresh.scopes
    assert get_me(world.database, call)["otp_asked"] is False
    world.do(second_factor.delete_otp, EmptyRequest, whole)
    with refused("accounts.staff_otp_needed"):
        Actor.of(world.call_of(world.renew(call))).require_staff()
    ordinary = Actor.of(world.member("ada@example.org"))
    with refused("accounts.staff_needed"):
        ordinary.require_staff()
