"""The way of a new user: registration, link, login, company, refresh, rights; and what each step refuses."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.accounts.api import MOVE_LICENSES, REQUEST_CERTIFICATE, Actor, answers, requests
from services.accounts.commands import companies, create_staff, lookups, registration, sessions
from services.accounts.commands.staff import update_user_staff
from services.accounts.models import Base
from services.accounts.queries.companies import list_companies_staff
from services.accounts.queries.me import get_me
from services.accounts.queries.names import get_names
from services.accounts.queries.staff import list_users_staff
from services.accounts.tests.conftest import PASSWORD, World, claims_of
from services.chassis.context import Call
from services.chassis.data import tables
from services.chassis.data.db import Database
from services.chassis.errors import ServiceError


def refused(code: str) -> Any:
    """Expect the refusal with a code."""
    return pytest.raises(ServiceError, match=f"^{code}: ")


def test_migrations_make_the_tables_that_the_models_describe(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"target_metadata": Base.metadata})
        assert compare_metadata(context, [Base.metadata, tables.metadata]) == []  # type: ignore[arg-type]


def test_a_new_user_gets_from_the_form_to_a_company(world: World) -> None:
    world.register("Ada@Example.org", language="de")
    mail = world.mails()[0]
    assert (mail["template"], mail["language"], mail["to"]) == ("activation", "de", "Ada@Example.org")
    with refused("accounts.not_activated"):
        world.login("ada@example.org")

    world.do(registration.confirm_registration, requests.ConfirmRegistrationRequest, token=mail["values"]["token"])
    answer = world.login(" ada@example.ORG ")
    assert answers.Session().validate(answer) == {}
    assert (answer["company"], answer["companies"], answer["expires_in"]) == (None, [], 900)

    call = world.call_of(answer)
    made = world.do(companies.create_company, requests.CreateCompanyRequest, call, name="Acme")
    renewed = world.call_of(world.renew(call))
    assert Actor.of(renewed).require_admin() == made["id"]

    fresh = world.do(sessions.refresh_session, requests.RefreshSessionRequest, refresh_token=answer["refresh_token"])
    assert fresh["company"] == {"id": made["id"], "name": "Acme", "role": "admin"}
    assert world.login("ada@example.org")["company"]["id"] == made["id"]
    me = get_me(world.database, world.call_of(fresh))
    assert answers.Me().validate(me) == {}
    assert me["email"] == "Ada@Example.org"
    assert world.types() == [
        "user_registered",
        "login_failed",
        "user_activated",
        "session_created",
        "company_created",
        "session_created",
    ]


def test_a_link_works_once(world: World) -> None:
    world.register("ada@example.org")
    token = world.last_token("activation")
    world.do(registration.confirm_registration, requests.ConfirmRegistrationRequest, token=token)
    for wrong in (token, "nonsense"):
        with refused("accounts.link_invalid"):
            world.do(registration.confirm_registration, requests.ConfirmRegistrationRequest, token=wrong)


def test_a_link_activates_the_data_that_it_was_sent_for(world: World) -> None:
    world.register("ada@example.org", password="the first password")
    first = world.last_token("activation")
    world.register("ada@example.org", password="somebody else's one", forename="Eve")
    # Neither password counts, for one of them is a stranger's.
    with refused("accounts.password_needed"):
        world.do(registration.confirm_registration, requests.ConfirmRegistrationRequest, token=first)
    values = {"token": first, "password": "a chosen password of mine"}
    world.do(registration.confirm_registration, requests.ConfirmRegistrationRequest, **values)
    assert world.login("ada@example.org", "a chosen password of mine")["user"]["forename"] == "Ada"
    with refused("accounts.link_invalid"):
        world.do(
            registration.confirm_registration, requests.ConfirmRegistrationRequest, token=world.last_token("activation")
        )


def test_a_known_address_gets_the_same_answer_and_a_mail_that_says_so(world: World) -> None:
    world.activate("ada@example.org")
    world.register("ADA@example.org", password="another password")
    assert world.mails()[-1]["template"] == "already_registered"
    assert world.types()[-1] == "registration_repeated"
    # As for an address without an account, which a stranger could tell else.
    with refused("accounts.not_activated"):
        world.login("ada@example.org", "another password")


def test_a_resent_link_replaces_the_one_before(world: World) -> None:
    world.register("ada@example.org")
    first = world.last_token("activation")
    for address in ("ada@example.org", "nobody@example.org"):
        assert world.do(registration.resend_registration, requests.EmailRequest, email=address) == {}
    second = world.last_token("activation")
    assert len(world.mails()) == 2
    with refused("accounts.link_invalid"):
        world.do(registration.confirm_registration, requests.ConfirmRegistrationRequest, token=first)
    world.do(registration.confirm_registration, requests.ConfirmRegistrationRequest, token=second)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"accept_terms": False}, "accounts.terms_not_accepted"),
        ({"password": "password"}, "accounts.password_too_common"),
        ({"password": "Lovelace1815"}, "accounts.password_too_common"),
        ({"password": "aaaaaaaaaaaa"}, "accounts.password_too_common"),
        ({"password": "short"}, "request.invalid"),
        ({"email": "no address"}, "request.invalid"),
        ({"admin": True}, "request.invalid"),
        ({"language": "xx"}, "request.invalid"),
        ({"accept_terms": "true"}, "request.invalid"),
    ],
)
def test_a_wrong_registration_is_refused_and_leaves_nothing(world: World, changes: dict[str, Any], code: str) -> None:
    with refused(code):
        world.register(**{"email": "ada@example.org", **changes})
    assert (world.events(), world.mails()) == ([], [])


def test_a_repeated_registration_sends_one_mail(world: World) -> None:
    values = {
        "email": "ada@example.org",
        "password": PASSWORD,
        "forename": "Ada",
        "surname": "L",
        "language": "en",
        "accept_terms": True,
    }
    call = Call()
    for _ in range(3):
        assert world.do(registration.register, requests.RegisterRequest, call, again=True, **values) == {}
    assert len(world.mails()) == 1
    with refused("idempotency.key_reused"):
        changed = {**values, "password": "another password"}
        world.do(registration.register, requests.RegisterRequest, call, again=True, **changed)


def test_no_secret_stands_in_the_database(world: World) -> None:
    world.register("ada@example.org")
    token = world.last_token("activation")
    world.do(registration.confirm_registration, requests.ConfirmRegistrationRequest, token=token)
    refresh_token = world.login("ada@example.org")["refresh_token"]
    with world.database.engine.connect() as connection:
        for table in [*Base.metadata.sorted_tables, *tables.metadata.sorted_tables]:
            content = str(connection.execute(sa.select(*table.c)).all())
            assert not any(secret in content for secret in (token, refresh_token, PASSWORD)), table.name


def test_staff_give_account_rights_and_the_next_token_has_them(world: World) -> None:
    create_staff(world.database, "staff@vendor.example", PASSWORD, hasher=world.kit.hasher)
    staff = world.call_of(world.login("staff@vendor.example"))
    call = world.admin("ada@example.org")
    user_id = Actor.of(call).user_id
    values = {"user_id": user_id, "account_rights": [REQUEST_CERTIFICATE, MOVE_LICENSES]}
    with refused("accounts.staff_needed"):
        world.do(update_user_staff, requests.UpdateUserStaffRequest, call, **values)
    answer = world.do(update_user_staff, requests.UpdateUserStaffRequest, staff, **values)
    assert answers.StaffUser().validate(answer) == {}
    claims = claims_of(world.kit, world.renew(call)["access_token"])
    assert claims["rights"] == [MOVE_LICENSES, REQUEST_CERTIFICATE]
    event = world.events()[-1]
    assert (event["type"], event["companyid"], event["actorid"]) == (
        "user_changed",
        Actor.of(call).company_id,
        Actor.of(staff).user_id,
    )
    found = world.do(list_users_staff, requests.SearchRequest, staff, q="ADA@")
    assert [item["id"] for item in found["items"]] == [user_id]
    found = world.do(list_companies_staff, requests.SearchRequest, staff, q="acm")
    assert [(item["name"], item["users"]) for item in found["items"]] == [("Acme", 1)]


def test_staff_lock_an_account_and_everything_of_it_ends(world: World) -> None:
    create_staff(world.database, "staff@vendor.example", PASSWORD, hasher=world.kit.hasher)
    staff = world.call_of(world.login("staff@vendor.example"))
    world.activate("ada@example.org")
    answer = world.login("ada@example.org")
    user_id = answer["user"]["id"]
    world.do(update_user_staff, requests.UpdateUserStaffRequest, staff, user_id=user_id, locked=True)
    with refused("accounts.locked"):
        world.login("ada@example.org")
    with refused("accounts.login_failed"):
        world.login("ada@example.org", "a wrong password")
    with refused("accounts.refresh_invalid"):
        world.do(sessions.refresh_session, requests.RefreshSessionRequest, refresh_token=answer["refresh_token"])
    with refused("accounts.locked"):
        world.renew(world.call_of(answer))
    assert world.revocations()[-1]["id"] == user_id
    world.do(update_user_staff, requests.UpdateUserStaffRequest, staff, user_id=user_id, locked=False)
    assert world.login("ada@example.org")["user"]["id"] == user_id
    with refused("accounts.staff_self"):
        world.do(
            update_user_staff,
            requests.UpdateUserStaffRequest,
            staff,
            user_id=Actor.of(staff).user_id,
            locked=True,
        )


def test_create_staff_marks_an_account_that_is_there_and_makes_up_a_password(world: World) -> None:
    user_id, made_up = create_staff(world.database, "new@vendor.example", hasher=world.kit.hasher)
    assert made_up is not None
    assert world.login("new@vendor.example", made_up)["user"]["id"] == user_id
    world.activate("ada@example.org")
    known, none = create_staff(world.database, "ADA@example.org", hasher=world.kit.hasher)
    assert none is None
    claims = claims_of(world.kit, world.login("ada@example.org")["access_token"])
    assert (claims["sub"], claims["staff"]) == (known, True)
    assert "events" in claims["scopes"]


def test_names_and_companies_are_found_and_nothing_is_told_of_unknown_ones(world: World) -> None:
    call = world.admin("ada@example.org")
    actor = Actor.of(call)
    found = world.do(lookups.find_companies_by_email, requests.FindCompaniesRequest, call, email="ADA@example.org")
    assert found == {"companies": [{"id": actor.company_id, "name": "Acme"}]}
    found = world.do(lookups.find_companies_by_email, requests.FindCompaniesRequest, call, email="x@example.org")
    assert found == {"companies": []}
    unknown = "00000000-0000-7000-8000-000000000000"
    names = world.do(
        get_names,
        requests.GetNamesRequest,
        call,
        user_ids=[actor.user_id, unknown],
        company_ids=[actor.company_id, unknown],
    )
    assert names == {"users": {actor.user_id: "Ada Lovelace"}, "companies": {actor.company_id: "Acme"}}
