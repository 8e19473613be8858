"""Issue 6.2: a recent login for what changes who is who (ACC-13, S23), and guesses of codes that are counted (S3)."""

from __future__ import annotations

import inspect
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from services.accounts.api import requests
from services.accounts.commands import confirmations, sessions
from services.accounts.models import Session, ThrottleRow
from services.accounts.service import AccountsService
from services.accounts.store import throttles
from services.accounts.tests.conftest import PASSWORD, World, claims_of
from services.accounts.tests.test_account import code_of, with_second_factor
from services.accounts.tests.test_story import refused
from services.chassis.context import Call
from services.chassis.errors import ServiceError
from services.chassis.ids import new_id
from services.chassis.service.serving import procedures_of
from services.chassis.wrong_fields import load_request

OFFICE, ELSEWHERE = "192.0.2.1", "198.51.100.7"
VALUES: dict[str, Any] = {
    "email": "new@example.org", "password": PASSWORD, "name": "ERP", "scopes": ["read"], "otp": "123456",
    "user_id": new_id(), "company_id": new_id(), "role": "admin", "dry_run": False, "account_id": new_id(),
    "token_id": new_id(), "session_id": new_id(), "otp_demanded": True,
}  # fmt: skip
VALUES_OF: dict[str, dict[str, Any]] = {"create_service_account": {"scopes": ["orders"]}}
RECENT = sorted(
    name
    for name, (_, declaration) in procedures_of(AccountsService).items()
    if "accounts.confirmation_needed"
    in (declaration.raises if declaration else inspect.getdoc(getattr(AccountsService, name)) or "")
)


def aged(call: Call, seconds: float) -> Call:
    """Return a call by the same login, some time after it."""
    assert call.claims is not None
    return replace(call, claims={**call.claims, "auth_time": call.claims["auth_time"] - seconds})


def ask(world: World, name: str, call: Call) -> Any:
    """Call an entrypoint of the service as it stands, with the fields that its schema takes."""
    method = getattr(AccountsService, name)
    (entrypoint,) = method.nameko_entrypoints
    service = AccountsService()
    for attribute, value in (("database", world.database), ("kit", world.kit)):
        setattr(service, attribute, value)
    schema = entrypoint.schema()
    known = VALUES | VALUES_OF.get(name, {})
    values = {field: known[field] for field in schema.fields if field in known}
    return method(service, replace(call, command_id=new_id()), load_request(schema, values))


def test_the_room_has_acts_that_need_a_recent_login() -> None:
    assert {"create_api_token", "delete_otp", "add_company_user", "import_company", "update_user_staff"} <= set(RECENT)


@pytest.mark.parametrize("name", RECENT)
def test_the_room_itself_refuses_an_old_login_and_an_api_token(world: World, name: str) -> None:
    """Issue 6.2: a stolen bearer made tokens, admins and staff; the rooms believe no gateway, so each act asks."""
    call = world.admin("ada@example.org")
    assert call.claims is not None
    before = world.types()
    with refused("accounts.confirmation_needed"):
        ask(world, name, aged(call, 601))
    for claims in ({"auth_time": None}, {"auth_time": None, "scopes": ["read", "write", "account"]}):
        with refused("accounts.login_needed"):
            ask(world, name, replace(call, claims={**call.claims, **claims}))
    assert world.types() == before
    try:
        ask(world, name, aged(call, 590))
    except ServiceError as error:
        assert error.code not in ("accounts.confirmation_needed", "accounts.login_needed")  # noqa: PT017


def test_a_refresh_and_a_renewal_do_not_make_a_login_recent_again(world: World) -> None:
    world.activate("ada@example.org")
    session = world.login("ada@example.org")
    first = claims_of(world.kit, session["access_token"])
    with world.database.engine.begin() as connection:
        at = connection.execute(sa.select(Session.authenticated_at)).scalar_one()
        assert at is not None
        connection.execute(sa.update(Session).values(authenticated_at=at - timedelta(hours=2)))
    refreshed = world.do(
        sessions.refresh_session, requests.RefreshSessionRequest, refresh_token=session["refresh_token"]
    )
    renewed = world.renew(world.call_of(session))
    for answer in (refreshed, renewed):
        claims = claims_of(world.kit, answer["access_token"])
        assert claims["auth_time"] == pytest.approx(first["auth_time"] - 7200, abs=1)


def confirm(world: World, call: Call, password: str = PASSWORD, **values: Any) -> dict[str, Any]:
    """Confirm who one is."""
    answer: dict[str, Any] = world.do(
        confirmations.confirm_session, requests.ConfirmSessionRequest, call, password=password, **values
    )
    return answer


def test_a_confirmation_makes_the_login_recent_again(world: World) -> None:
    call = aged(world.admin("ada@example.org"), 3600)
    with refused("accounts.password_wrong"):
        confirm(world, call, "a wrong password")
    assert world.events()[-1]["type"] == "login_failed"
    assert world.events()[-1]["data"]["reason"] == "confirmation"
    answer = confirm(world, call)
    fresh = world.call_of(answer)
    assert fresh.claims is not None
    assert call.claims is not None
    assert fresh.claims["auth_time"] - call.claims["auth_time"] == pytest.approx(3600, abs=60)
    assert fresh.claims["sid"] == call.claims["sid"]
    ask(world, "create_api_token", fresh)
    # What a refresh answers afterwards is as recent.
    assert claims_of(world.kit, world.renew(call)["access_token"])["auth_time"] == fresh.claims["auth_time"]


def test_a_confirmation_needs_the_second_factor_and_a_login(world: World) -> None:
    call = world.member("ada@example.org")
    assert call.claims is not None
    secret, codes = with_second_factor(world, call)
    with refused("accounts.otp_needed"):
        confirm(world, call)
    with refused("accounts.otp_wrong"):
        confirm(world, call, otp="000000")
    assert confirm(world, call, otp=code_of(secret))
    with refused("accounts.otp_wrong"):
        confirm(world, call, otp=code_of(secret))
    assert confirm(world, call, otp=codes[0])
    with refused("accounts.login_needed"):
        confirm(world, replace(call, claims={**call.claims, "auth_time": None}))
    world.do(sessions.delete_session, requests.SessionRequest, call, session_id="current")
    with refused("accounts.session_ended"):
        confirm(world, call, otp=codes[1])


def test_confirmations_are_counted_by_the_counters_of_logins(world: World) -> None:
    """Issue 6.2: a stolen session must not be a second door for guesses of the password."""
    call = world.member("ada@example.org")
    for guess in range(5):
        with refused("accounts.login_failed"):
            world.login("ada@example.org", f"wrong {guess}")
        with refused("accounts.password_wrong"):
            confirm(world, call, f"wrong {guess}")
    with refused("accounts.too_many_attempts"):
        confirm(world, call)
    with refused("accounts.too_many_attempts"):
        world.login("ada@example.org")


def guesses(world: World, tries: int, *, between: Any = None, address: str = ELSEWHERE, **login: Any) -> list[str]:
    """Guess codes with the right password, and return the codes of the refusals."""
    codes = []
    for guess in range(tries):
        if between is not None:
            between()
        with pytest.raises(ServiceError) as caught:
            world.login("ada@example.org", otp=f"{guess:06d}", client_address=address, **login)
        codes.append(caught.value.code)
    return codes


def test_codes_are_guessed_ten_times_and_a_right_password_forgives_nothing(world: World) -> None:
    """Issue 6.2: the second factor could be guessed without limit, since each right password cleared the counter."""
    call = world.member("ada@example.org")
    with_second_factor(world, call)

    def right_password() -> None:
        with pytest.raises(ServiceError, match=r"otp_needed|too_many"):
            world.login("ada@example.org", client_address=ELSEWHERE)

    assert "accounts.too_many_attempts" in guesses(world, 12, between=right_password)
    # Nor when the counter of logins was swept: codes have one of their own.
    key = throttles.key_of("login", "account", "ada@example.org", "")
    with world.database.engine.begin() as connection:
        assert connection.execute(sa.delete(ThrottleRow).where(ThrottleRow.key == key)).rowcount == 1
    assert guesses(world, 8)[-1] == "accounts.too_many_attempts"


def test_guesses_of_codes_from_many_addresses_share_one_counter_and_recovery_codes_too(world: World) -> None:
    call = world.member("ada@example.org")
    with_second_factor(world, call)
    seen = []
    for guess in range(14):
        with pytest.raises(ServiceError) as caught:
            world.login(
                "ada@example.org",
                otp="aaaa-bbbb-cccc-dddd" if guess % 2 else "000000",
                client_address=f"198.51.100.{guess}",
            )
        seen.append(caught.value.code)
    assert seen[0] == "accounts.login_failed"
    assert seen[-1] == "accounts.too_many_attempts"
    assert seen.count("accounts.login_failed") <= 10


def test_the_owner_at_a_known_place_is_not_locked_out_by_guesses_of_codes(world: World) -> None:
    call = world.member("ada@example.org")
    secret, codes = with_second_factor(world, call)
    assert world.login("ada@example.org", otp=code_of(secret), client_address=OFFICE)
    assert guesses(world, 15)[-1] == "accounts.too_many_attempts"
    assert world.login("ada@example.org", otp=codes[0], client_address=OFFICE)
    # And what the owner does well gives the guesser nothing.
    assert guesses(world, 1) == ["accounts.too_many_attempts"]
