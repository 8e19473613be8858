"""Another address for an account: who confirms it, what ends it, how the address before takes it back (ACC-7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from eventlet.greenpool import GreenPool

from services.accounts.api import Actor, answers, requests
from services.accounts.audit.people import check_people
from services.accounts.commands import api_tokens, email_changes, erasure, exchanges, me, registration, sessions
from services.accounts.models import EmailUndo
from services.accounts.queries.export import export_me
from services.accounts.queries.me import get_me
from services.accounts.tests.conftest import PASSWORD, World
from services.accounts.tests.test_account import code_of, with_second_factor
from services.accounts.tests.test_erasure import everything
from services.accounts.tests.test_story import refused
from services.chassis.context import Call
from services.chassis.errors import ServiceError

OLD, NEW, THIRD = "ada@example.org", "new@example.org", "third@example.org"
NEW_PASSWORD = "another horse battery"


def change(world: World, call: Call, email: str = NEW, password: str = PASSWORD) -> None:
    world.do(email_changes.change_email, requests.ChangeEmailRequest, call, email=email, password=password)


def confirm(world: World, call: Call, token: str | None = None) -> None:
    token = token or world.last_token("email_change")
    world.do(email_changes.confirm_email, requests.ConfirmEmailRequest, call, token=token)


def undo(world: World, token: str) -> None:
    world.do(email_changes.undo_email_change, requests.ConfirmRequest, token=token)


def tokens(world: World, to: str, *templates: str) -> list[str]:
    kinds = templates or ("email_change_notice", "email_changed")
    return [mail["values"]["token"] for mail in world.mails() if mail["to"] == to and mail["template"] in kinds]


def new_password(world: World, call: Call, old: str = PASSWORD, password: str = NEW_PASSWORD) -> None:
    values = {"old_password": old, "password": password}
    world.do(me.change_password, requests.ChangePasswordRequest, call, **values)


def reset(world: World, token: str, password: str = NEW_PASSWORD) -> None:
    values = {"token": token, "password": password}
    world.do(registration.confirm_password_reset, requests.ConfirmPasswordResetRequest, **values)


def test_a_new_address_counts_once_its_owner_confirmed_it(world: World) -> None:
    call = world.member(OLD)
    with refused("accounts.password_wrong"):
        change(world, call, password="a wrong password")
    with refused("accounts.email_unchanged"):
        change(world, call, OLD)
    change(world, call)
    sent = {mail["template"]: mail["to"] for mail in world.mails()[-2:]}
    assert sent == {"email_change": NEW, "email_change_notice": OLD}
    assert get_me(world.database, call)["pending_email"] == NEW
    confirm(world, call)
    assert (world.mails()[-1]["template"], world.mails()[-1]["to"]) == ("email_changed", OLD)
    assert world.login(NEW)["user"]["email"] == NEW
    with refused("accounts.login_failed"):
        world.login(OLD)


def test_only_the_owner_of_the_account_confirms(world: World) -> None:
    """Issue 6.2: a link to change the e-mail worked without login."""
    call, eve = world.member(OLD), world.member("eve@example.org")
    change(world, call)
    token = world.last_token("email_change")
    with pytest.raises(ServiceError) as caught:
        confirm(world, Call(), token)
    assert caught.value.status == 401
    with refused("accounts.link_invalid"):
        confirm(world, eve, token)
    confirm(world, call, token)
    with refused("accounts.link_invalid"):
        confirm(world, call, token)


def test_any_change_of_the_password_ends_open_links(world: World) -> None:
    """Issue 6.2: a link to change the e-mail survived password change and reset."""
    call = world.member(OLD)
    change(world, call)
    world.do(registration.request_password_reset, requests.EmailRequest, email=OLD)
    stale = world.last_token("password_reset")
    new_password(world, call)
    with refused("accounts.link_invalid"):
        confirm(world, call)
    with refused("accounts.link_invalid"):
        reset(world, stale)
    change(world, call, password=NEW_PASSWORD)
    world.do(registration.request_password_reset, requests.EmailRequest, email=OLD)
    reset(world, world.last_token("password_reset"), PASSWORD)
    call = world.call_of(world.login(OLD))
    with refused("accounts.link_invalid"):
        confirm(world, call)
    assert get_me(world.database, call)["pending_email"] is None


def test_the_address_before_undoes_it_whatever_the_thief_did_meanwhile(world: World) -> None:
    """Issue 6.2: the old address was told nothing; now it has a link for 7 days, and the thief is out."""
    call = world.member(OLD)
    thief = world.login(OLD)
    stolen = world.call_of(thief)
    change(world, stolen)
    confirm(world, stolen)
    new_password(world, stolen)
    with_second_factor(world, stolen)
    token = world.do(api_tokens.create_api_token, requests.CreateApiTokenRequest, stolen, name="x", scopes=["read"])
    change(world, stolen, THIRD, NEW_PASSWORD)
    world.do(registration.request_password_reset, requests.EmailRequest, email=NEW)
    later = [world.last_token("email_change"), world.last_token("password_reset"), *tokens(world, NEW)]
    (link,) = tokens(world, OLD, "email_changed")
    undo(world, link)
    for password in (PASSWORD, NEW_PASSWORD):
        with refused("accounts.login_failed"):
            world.login(OLD, password)
    with refused("accounts.session_ended"):
        world.renew(stolen)
    with refused("accounts.refresh_invalid"):
        values = {"refresh_token": thief["refresh_token"]}
        world.do(sessions.refresh_session, requests.RefreshSessionRequest, **values)
    with refused("token.invalid"):
        world.do(exchanges.exchange_token, requests.ExchangeTokenRequest, token=token["token"])
    with refused("accounts.link_invalid"):
        confirm(world, stolen, later[0])
    with refused("accounts.link_invalid"):
        reset(world, later[1])
    for one in (*later[2:], link):
        with refused("accounts.link_invalid"):
            undo(world, one)
    assert (world.mails()[-1]["template"], world.mails()[-1]["to"]) == ("email_undone", OLD)
    reset(world, world.last_token("email_undone"))
    # The thief's second factor does not stand in the way.
    answer = world.login(OLD, NEW_PASSWORD)
    assert (answer["user"]["id"], answer["user"]["email"]) == (Actor.of(call).user_id, OLD)
    assert "email_change_undone" in world.types()
    checks = world.database.read(lambda connection: check_people(connection, world.kit.keys), snapshot=True)
    assert [flaw for check in checks for flaw in check.flaws] == []


def test_an_undo_keeps_the_second_factor_of_before(world: World) -> None:
    call = world.member(OLD)
    secret, _ = with_second_factor(world, call)
    change(world, call)
    confirm(world, call)
    undo(world, tokens(world, OLD)[-1])
    reset(world, world.last_token("email_undone"))
    with refused("accounts.otp_needed"):
        world.login(OLD, NEW_PASSWORD)
    assert world.login(OLD, NEW_PASSWORD, otp=code_of(secret, 1))


def test_the_notice_stops_a_change_that_is_not_confirmed_yet(world: World) -> None:
    call = world.member(OLD)
    change(world, call)
    undo(world, tokens(world, OLD, "email_change_notice")[0])
    with refused("accounts.session_ended"):
        world.renew(call)
    with refused("accounts.link_invalid"):
        confirm(world, call)
    with refused("accounts.login_failed"):
        world.login(OLD)
    reset(world, world.last_token("email_undone"))
    assert world.login(OLD, NEW_PASSWORD)["user"]["email"] == OLD


def test_in_a_chain_of_changes_the_first_address_has_the_last_word(world: World) -> None:
    call = world.member(OLD)
    for email in (NEW, THIRD):
        change(world, call, email)
        confirm(world, call)
    undo(world, tokens(world, NEW, "email_changed")[0])
    with refused("accounts.login_failed"):
        world.login(THIRD)
    undo(world, tokens(world, OLD, "email_changed")[0])
    reset(world, world.last_token("email_undone"))
    assert world.login(OLD, NEW_PASSWORD)
    for token in tokens(world, NEW):
        with refused("accounts.link_invalid"):
            undo(world, token)


def test_an_undo_works_for_seven_days(world: World) -> None:
    call = world.member(OLD)
    change(world, call)
    confirm(world, call)
    with world.database.engine.begin() as connection:
        rows = connection.execute(sa.select(EmailUndo.created_at, EmailUndo.expires_at)).all()
        assert {row.expires_at - row.created_at for row in rows} == {timedelta(days=7)}
        connection.execute(sa.update(EmailUndo).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    for token in (*tokens(world, OLD), "guessed"):
        with refused("accounts.link_invalid"):
            undo(world, token)
    assert world.login(NEW)


def test_an_address_of_somebody_else_is_not_taken_and_not_told(world: World) -> None:
    world.activate("eve@example.org")
    call = world.member(OLD)
    change(world, call, "eve@example.org")
    mails = world.mails()[-2:]
    assert [mail["template"] for mail in mails] == ["already_registered", "email_change_notice"]
    assert "token" not in mails[0]["values"]
    assert world.login("eve@example.org")


def test_an_address_that_got_an_account_meanwhile_is_refused_to_who_reads_its_mails(world: World) -> None:
    call = world.member(OLD)
    change(world, call)
    token = world.last_token("email_change")
    world.activate(NEW)
    for _ in range(2):
        with refused("accounts.email_taken"):
            confirm(world, call, token)
    change(world, call, THIRD)
    confirm(world, call)
    world.activate(OLD)
    with refused("accounts.email_taken"):
        undo(world, tokens(world, OLD)[-1])
    assert world.login(THIRD)


def test_two_changes_at_once_have_one_winner(world: World) -> None:
    call = world.member(OLD)
    change(world, call, NEW)
    first = world.last_token("email_change")
    change(world, call, THIRD)
    with refused("accounts.link_invalid"):
        confirm(world, call, first)

    def use(what: str) -> str:
        try:
            if what == "undo":
                undo(world, tokens(world, OLD)[0])
            else:
                confirm(world, call)
        except ServiceError as error:
            return error.code
        return "done"

    outcomes = list(GreenPool(3).imap(use, ["confirm", "undo", "confirm"]))
    assert outcomes[1] == "done"
    assert outcomes.count("done") <= 2
    # Whatever came first: the address before has it back.
    reset(world, world.last_token("email_undone"))
    assert world.login(OLD, NEW_PASSWORD)


def test_links_that_undo_are_exported_and_erased(world: World) -> None:
    call = world.member("ada@secret.example")
    change(world, call)
    confirm(world, call)
    document: dict[str, Any] = export_me(world.database, call)
    assert answers.Export().validate(document) == {}
    assert {line["email"] for line in document["former_addresses"]} == {"ada@secret.example"}
    world.do(erasure.erase_me, requests.PasswordRequest, call, password=PASSWORD)
    assert "secret.example" not in everything(world)
    assert [mail for mail in world.mails() if mail["to"] in ("ada@secret.example", NEW)] == []
