"""The end of an account (ACC-12): all about the person is gone, the id stays, companies keep an administrator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from services.accounts.api import Actor, answers, requests
from services.accounts.commands import (
    api_tokens,
    company_users,
    email_changes,
    erasure,
    exchanges,
    invitations,
    me,
    registration,
    sessions,
)
from services.accounts.queries.export import export_me
from services.accounts.queries.names import get_names
from services.accounts.tests.conftest import PASSWORD, World
from services.accounts.tests.test_story import refused
from services.chassis.context import Call
from services.chassis.ids import new_id


def erase(world: World, call: Call, password: str = PASSWORD) -> None:
    world.do(erasure.erase_me, requests.PasswordRequest, call, password=password)


def everything(world: World) -> str:
    """Return all that stands in any table, sealed and hashed values as they are."""
    found = []
    with world.database.engine.connect() as connection:
        for table in sa.inspect(connection).get_table_names():
            for row in connection.exec_driver_sql(f"SELECT * FROM {table}"):
                found += [
                    bytes(value).decode("latin1") if isinstance(value, bytes | memoryview) else str(value)
                    for value in row
                ]
    return "\n".join(found)


def bob_of(world: World, admin: Call) -> Call:
    """Return a call by a user of the admin's company, with traces of all kinds."""
    world.activate("bob@secret.example", forename="Bobby", surname="Tables")
    world.join(admin, "bob@secret.example")
    answer = world.login("bob@secret.example", user_agent="Bobs browser", client_address="10.9.8.7")
    bob = world.call_of(answer)
    world.do(me.update_me, requests.UpdateMeRequest, bob, surname="Drop-Tables", vendor_customer_number="V-BOB")
    world.do(api_tokens.create_api_token, requests.CreateApiTokenRequest, bob, name="ERP script", scopes=["read"])
    change = {"email": "new@secret.example", "password": PASSWORD}
    world.do(email_changes.change_email, requests.ChangeEmailRequest, bob, **change)
    world.do(registration.request_password_reset, requests.EmailRequest, email="bob@secret.example")
    user_id = Actor.of(bob).user_id
    world.do(company_users.update_company_user, requests.UpdateCompanyUserRequest, admin, user_id=user_id, role="admin")
    return world.call_of(world.renew(bob))


def test_an_erased_account_leaves_no_personal_data(world: World) -> None:
    admin = world.admin("ada@example.org")
    other = world.admin("zoe@example.org", "Zoe Ltd")
    bob = bob_of(world, admin)
    world.do(invitations.add_company_user, requests.AddCompanyUserRequest, other, email="Bob@secret.example")
    assert "bob@secret.example" in everything(world)
    waiting = [mail["to"].lower() for mail in world.mails()]
    assert {"bob@secret.example", "new@secret.example"} <= set(waiting)
    with refused("accounts.password_wrong"):
        erase(world, bob, "a wrong password")
    erase(world, bob)
    left = everything(world).lower()
    for word in ("secret.example", "bobby", "tables", "bobs", "v-bob", "10.9.8.7"):
        assert [line for line in left.splitlines() if word in line] == []
    assert not [mail for mail in world.mails() if "secret.example" in mail["to"].lower()]
    assert Actor.of(bob).user_id in left
    with refused("accounts.login_failed"):
        world.login("bob@secret.example")
    assert world.types()[-3:] == ["company_user_removed", "user_erased", "login_failed"]
    world.activate("bob@secret.example")
    assert world.login("bob@secret.example")["companies"] == []


def test_a_former_address_is_forgotten_as_it_was_written(world: World) -> None:
    """Answers that are stored for others hold it with its capitals."""
    admin = world.admin("ada@example.org")
    world.activate("Bob@Secret.Example")
    world.join(admin, "Bob@Secret.Example")
    bob = world.call_of(world.login("Bob@Secret.Example"))
    user_id = Actor.of(bob).user_id
    world.do(company_users.update_company_user, requests.UpdateCompanyUserRequest, admin, user_id=user_id, role="admin")
    change = {"email": "bob@example.org", "password": PASSWORD}
    world.do(email_changes.change_email, requests.ChangeEmailRequest, bob, **change)
    token = world.last_token("email_change")
    world.do(email_changes.confirm_email, requests.ConfirmEmailRequest, bob, token=token)
    assert "Bob@Secret.Example" in everything(world)
    erase(world, bob)
    assert [line for line in everything(world).splitlines() if "secret.example" in line.lower()] == []


def test_whoever_asked_for_the_address_of_another_account_deletes_no_mails_of_its_owner(world: World) -> None:
    world.activate("eve@example.org")
    bob = world.member("bob@example.org")
    change = {"email": "Eve@example.org", "password": PASSWORD}
    world.do(email_changes.change_email, requests.ChangeEmailRequest, bob, **change)
    world.do(registration.request_password_reset, requests.EmailRequest, email="eve@example.org")
    erase(world, bob)
    assert "eve@example.org" in [mail["to"] for mail in world.mails("password_reset")]


def test_every_login_of_an_erased_account_is_dead(world: World) -> None:
    admin = world.admin("ada@example.org")
    world.activate("bob@example.org")
    world.join(admin, "bob@example.org")
    answer = world.login("bob@example.org")
    bob = world.call_of(answer)
    token = world.do(api_tokens.create_api_token, requests.CreateApiTokenRequest, bob, name="x", scopes=["device"])
    erase(world, bob)
    with refused("accounts.session_ended"):
        world.renew(bob)
    with refused("accounts.refresh_invalid"):
        world.do(sessions.refresh_session, requests.RefreshSessionRequest, refresh_token=answer["refresh_token"])
    with refused("token.invalid"):
        world.do(exchanges.exchange_token, requests.ExchangeTokenRequest, token=token["token"])
    for secret in (PASSWORD, token["token"], ""):
        with refused("accounts.login_failed" if secret else "request.invalid"):
            world.do(
                exchanges.create_device_session,
                requests.CreateDeviceSessionRequest,
                login="bob@example.org",
                password=secret,
            )
    assert [item["kind"] for item in world.revocations() if item["id"] == Actor.of(bob).user_id] == ["user"]


def test_histories_call_an_erased_person_a_former_user(world: World) -> None:
    admin, bob = world.admin("ada@example.org"), world.member("bob@example.org")
    erase(world, bob)
    for language, name in (("en", "former user"), ("de", "früherer Benutzer"), ("fr", "former user")):
        call = replace(admin, language=language)
        ids = [Actor.of(bob).user_id, Actor.of(admin).user_id, new_id()]
        users = world.do(get_names, requests.GetNamesRequest, call, user_ids=ids)["users"]
        assert users == {ids[0]: name, ids[1]: "Ada Lovelace"}


def test_the_last_admin_hands_the_company_over_first(world: World) -> None:
    admin, bob = world.admin("ada@example.org"), world.member("bob@example.org")
    world.join(admin, "bob@example.org")
    before = len(world.events())
    with refused("accounts.erasure_refused"):
        erase(world, admin)
    assert len(world.events()) == before
    assert world.login("ada@example.org")["company"]["role"] == "admin"
    user_id = Actor.of(bob).user_id
    world.do(company_users.update_company_user, requests.UpdateCompanyUserRequest, admin, user_id=user_id, role="admin")
    erase(world, admin)
    # Whoever is alone in a company may go at any time.
    erase(world, world.call_of(world.login("bob@example.org")))


def test_an_export_holds_what_is_stored_and_no_secret(world: World) -> None:
    admin = world.admin("ada@example.org")
    bob = bob_of(world, admin)
    document: dict[str, Any] = export_me(world.database, bob)
    assert answers.Export().validate(document) == {}
    assert document["account"]["email"] == "bob@secret.example"
    assert document["account"]["pending_email"] == "new@secret.example"
    assert [company["name"] for company in document["companies"]] == ["Acme"]
    assert [session["user_agent"] for session in document["sessions"]] == ["Bobs browser", None]
    assert [token["name"] for token in document["api_tokens"]] == ["ERP script"]
    assert document["places_logged_in_from"]["count"] == 2
    for word in ("argon2", "tsk_", "hash", "otp_secret", "ada@", "Ada"):
        assert word not in str(document), word
    api = replace(bob, claims={**bob.claims, "scopes": ["read", "write"]})
    with pytest.raises(Exception, match="log in with e-mail"):
        export_me(world.database, api)
