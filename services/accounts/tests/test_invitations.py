"""Consent: nobody is in a company without having said yes, and staff of the vendor are in none (ACC-3, S25)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from eventlet.greenpool import GreenPool

from services.accounts.api import Actor, answers, requests
from services.accounts.audit.people import check_people
from services.accounts.commands import email_changes, exchanges, invitations, lookups, sessions, staff
from services.accounts.commands.companies import create_company
from services.accounts.commands.staff import create_staff
from services.accounts.models import Invitation, Membership
from services.accounts.queries.company_users import list_company_users
from services.accounts.queries.invitations import list_my_invitations
from services.accounts.queries.me import get_me
from services.accounts.tests.conftest import PASSWORD, World
from services.accounts.tests.test_account import code_of, with_second_factor
from services.accounts.tests.test_company_users import joined, listed, remove, update
from services.accounts.tests.test_story import refused
from services.chassis.context import Call
from services.chassis.errors import ServiceError
from services.chassis.fields import ListRequest
from services.chassis.ids import new_id


def invite(world: World, call: Call, email: str) -> dict[str, Any]:
    answer: dict[str, Any] = world.do(invitations.add_company_user, requests.AddCompanyUserRequest, call, email=email)
    assert answers.InvitedUser().validate(answer) == {}
    return answer


def accept(world: World, call: Call, token: str) -> None:
    world.do(invitations.accept_invitation, requests.AcceptInvitationRequest, call, token=token)


def accept_mine(world: World, call: Call, invitation_id: str) -> None:
    world.do(invitations.accept_my_invitation, requests.InvitationRequest, call, invitation_id=invitation_id)


def decline(world: World, call: Call, invitation_id: str) -> None:
    world.do(invitations.decline_invitation, requests.InvitationRequest, call, invitation_id=invitation_id)


def mine(world: World, call: Call, **values: Any) -> dict[str, Any]:
    answer: dict[str, Any] = world.do(list_my_invitations, ListRequest, call, **values)
    assert answers.MyInvitationList().validate(answer) == {}
    return answer


def make_staff(world: World, email: str) -> Call:
    world.activate(email)
    create_staff(world.database, email, hasher=world.kit.hasher)
    return world.call_of(world.login(email))


def test_nobody_is_put_into_a_company_and_every_address_gets_the_same_answer(world: World) -> None:
    """Issue 6.2: anybody put any account without a company into his own, locked it out and read its history."""
    admin = world.admin("ada@example.org")
    world.admin("zoe@example.org", "Zoe Ltd")
    alone = world.member("alone@example.org")
    world.activate("locked@example.org")
    sue = make_staff(world, "sue@example.org")
    locked = Actor.of(world.call_of(world.login("locked@example.org"))).user_id
    world.do(staff.update_user_staff, requests.UpdateUserStaffRequest, sue, user_id=locked, locked=True)
    found = []
    before = len(world.events())
    for name in ("unknown", "alone", "zoe", "locked"):
        answer = invite(world, admin, f"{name}@example.org")
        assert answer["email"] == f"{name}@example.org"
        assert len(answer["id"]) == 36
        found.append((answer["state"], sorted(answer)))
    assert found == [("invited", ["email", "id", "state"])] * 4
    told = world.events()[before:]
    assert [event["type"] for event in told] == ["company_user_invited"] * 4
    assert Actor.of(alone).user_id not in str(told)
    assert Actor.of(world.call_of(world.renew(alone))).company_id is None
    assert world.login("alone@example.org")["companies"] == []
    with pytest.raises(ServiceError) as caught:
        update(world, admin, Actor.of(alone).user_id, locked=True)
    assert caught.value.code == "accounts.user_not_found"


def test_whoever_is_invited_sees_it_after_login_and_decides(world: World) -> None:
    """Issue 6.2: consent by the mail's link or by the list, with a company, without one, without an account."""
    admin = world.admin("ada@example.org")
    other = world.admin("zoe@example.org", "Zoe Ltd")
    for name in ("zoe", "new", "no"):
        invite(world, admin, f"{name}@example.org")
    assert [state for *_, state in listed(world, admin)] == ["member", "invited", "invited", "invited"]
    (shown,) = mine(world, other)["items"]
    assert (shown["company"]["name"], shown["invited_by"]) == ("Acme", "Ada Lovelace")
    assert "ada@" not in str(shown)
    accept_mine(world, other, shown["id"])
    assert mine(world, other)["items"] == []
    with refused("accounts.invitation_not_found"):
        accept_mine(world, other, shown["id"])
    assert {company["name"] for company in world.login("zoe@example.org")["companies"]} == {"Acme", "Zoe Ltd"}
    new, no = world.member("new@example.org"), world.member("no@example.org")
    (invitation,) = mine(world, no)["items"]
    for stranger in (new, other):
        for act in (accept_mine, decline):
            with refused("accounts.invitation_not_found"):
                act(world, stranger, invitation["id"])
    decline(world, no, invitation["id"])
    assert (world.events()[-1]["type"], world.events()[-1].get("actorid")) == ("invitation_declined", None)
    token = [mail for mail in world.mails() if mail["template"] == "invitation" and mail["to"] == "no@example.org"]
    with refused("accounts.link_invalid"):
        accept(world, no, token[0]["values"]["token"])
    (invitation,) = mine(world, new)["items"]
    accept_mine(world, new, invitation["id"])
    assert Actor.of(world.call_of(world.renew(new))).role == "member"
    assert [email for email, *_ in listed(world, admin)] == ["ada@example.org", "zoe@example.org", "new@example.org"]
    with refused("accounts.already_member"):
        invite(world, admin, "zoe@example.org")


def test_the_link_of_the_mail_is_for_its_address_alone_and_works_once(world: World) -> None:
    admin = world.admin("ada@example.org")
    other = world.admin("zoe@example.org", "Zoe Ltd")
    invite(world, admin, "new@example.org")
    token = world.last_token("invitation")
    with refused("accounts.invitation_of_another"):
        accept(world, other, token)
    new = world.member("new@example.org")
    accept(world, new, token)
    with refused("accounts.link_invalid"):
        accept(world, new, token)
    assert world.login("new@example.org")["company"]["name"] == "Acme"


def test_an_invitation_is_sent_again_taken_back_and_expires(world: World) -> None:
    admin = world.admin("ada@example.org")
    first = invite(world, admin, "new@example.org")
    old = world.last_token("invitation")
    assert invite(world, admin, "new@example.org")["id"] == first["id"]
    call = world.member("new@example.org")
    with refused("accounts.link_invalid"):
        accept(world, call, old)
    remove(world, admin, first["id"])
    assert world.types()[-1] == "invitation_withdrawn"
    assert len(listed(world, admin)) == 1
    assert mine(world, call)["items"] == []
    with refused("accounts.link_invalid"):
        accept(world, call, world.last_token("invitation"))
    again = invite(world, admin, "new@example.org")
    with world.database.engine.begin() as connection:
        connection.execute(sa.update(Invitation).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    assert (mine(world, call)["items"], len(listed(world, admin))) == ([], 1)
    for act in (accept_mine, decline):
        with refused("accounts.invitation_not_found"):
            act(world, call, again["id"])
    with refused("accounts.link_invalid"):
        accept(world, call, world.last_token("invitation"))
    invite(world, admin, "new@example.org")
    assert len(mine(world, call)["items"]) == 1


def test_somebody_with_a_second_factor_accepts(world: World) -> None:
    """Issue 6.2: an invitation could not be accepted with a second factor."""
    admin = world.admin("ada@example.org")
    secret, _ = with_second_factor(world, world.member("bob@example.org"))
    invite(world, admin, "bob@example.org")
    bob = world.call_of(world.login("bob@example.org", otp=code_of(secret, 1)))
    accept(world, bob, world.last_token("invitation"))
    assert Actor.of(world.call_of(world.renew(bob))).role == "member"


def test_staff_of_the_vendor_are_in_no_company_whatever_way_is_tried(world: World) -> None:
    """Issue 6.2: the vendor's staff were put into anybody's company; staff with a company chose foreign projects."""
    admin = world.admin("ada@example.org")
    sue = make_staff(world, "sue@example.org")
    with refused("accounts.staff_in_company"):
        invite(world, admin, "SUE@example.org")
    with refused("accounts.staff_in_company"):
        world.do(create_company, requests.CreateCompanyRequest, sue, name="Sue Ltd")
    # Invited first and staff afterwards: there is no yes any more.
    world.activate("tom@example.org")
    invitation = invite(world, admin, "tom@example.org")
    token = world.last_token("invitation")
    tom = world.call_of(world.login("tom@example.org"))
    make = {"user_id": Actor.of(tom).user_id, "staff": True}
    world.do(staff.update_user_staff, requests.UpdateUserStaffRequest, sue, **make)
    with refused("accounts.staff_in_company"):
        accept(world, tom, token)
    with refused("accounts.staff_in_company"):
        accept_mine(world, tom, invitation["id"])
    # A member is not made staff.
    bob = Actor.of(joined(world, admin, "bob@example.org")).user_id
    with pytest.raises(ServiceError) as caught:
        world.do(staff.update_user_staff, requests.UpdateUserStaffRequest, sue, user_id=bob, staff=True)
    assert (caught.value.code, caught.value.extra["companies"][0]["name"]) == ("accounts.user_in_company", "Acme")
    with refused("accounts.user_in_company"):
        create_staff(world.database, "bob@example.org", hasher=world.kit.hasher)
    # Rows of before: the token of staff names no company all the same, and the audit tells.
    with world.database.engine.begin() as connection:
        connection.execute(
            sa.insert(Membership).values(
                id=new_id(), company_id=Actor.of(admin).company_id, user_id=Actor.of(sue).user_id, role="admin",
                locked=False, created_at=datetime.now(UTC),
            )
        )  # fmt: skip
    answer = world.login("sue@example.org")
    assert (answer["company"], answer["companies"]) == (None, [])
    assert get_me(world.database, world.call_of(answer))["companies"] == []
    with refused("accounts.company_not_found"):
        world.login("sue@example.org", company_id=Actor.of(admin).company_id)
    checks = world.database.read(lambda connection: check_people(connection, world.kit.keys), snapshot=True)
    assert any("staff" in flaw for check in checks for flaw in check.flaws)


def test_a_yes_and_a_staff_mark_that_meet_never_leave_staff_in_a_company(world: World) -> None:
    admin = world.admin("ada@example.org")
    sue = make_staff(world, "sue@example.org")
    for number in range(6):
        world.activate(f"u{number}@example.org")
        invitation = invite(world, admin, f"u{number}@example.org")["id"]
        call = world.call_of(world.login(f"u{number}@example.org"))

        def act(what: str, call: Call = call, invitation: str = invitation) -> str:
            try:
                if what == "yes":
                    accept_mine(world, call, invitation)
                else:
                    values = {"user_id": Actor.of(call).user_id, "staff": True}
                    world.do(staff.update_user_staff, requests.UpdateUserStaffRequest, sue, **values)
            except ServiceError as error:
                return error.code
            return "done"

        outcomes = list(GreenPool(2).imap(act, ["yes", "staff"]))
        assert outcomes in (["done", "accounts.user_in_company"], ["accounts.staff_in_company", "done"])
    checks = world.database.read(lambda connection: check_people(connection, world.kit.keys), snapshot=True)
    assert [flaw for check in checks for flaw in check.flaws] == []


def test_a_yes_and_a_withdrawal_that_meet_have_one_winner(world: World) -> None:
    admin = world.admin("ada@example.org")
    for number in range(6):
        call = world.member(f"u{number}@example.org")
        invitation = invite(world, admin, f"u{number}@example.org")["id"]
        token = world.last_token("invitation")

        def act(what: str, call: Call = call, invitation: str = invitation, token: str = token) -> str:
            try:
                if what == "link":
                    accept(world, call, token)
                elif what == "list":
                    accept_mine(world, call, invitation)
                else:
                    remove(world, admin, invitation)
            except ServiceError as error:
                return error.code
            return "done"

        outcomes = list(GreenPool(3).imap(act, ["link", "withdrawn", "list"]))
        assert outcomes.count("done") == 1
        is_member = Actor.of(world.call_of(world.renew(call))).company_id is not None
        assert is_member is (outcomes[1] != "done")


def test_lists_of_invitations_are_paged(world: World) -> None:
    """Issue 6.5: a page of 2 had 18 items."""
    admin = world.admin("ada@example.org")
    joined(world, admin, "bob@example.org")
    for number in range(5):
        invite(world, admin, f"u{number}@example.org")
    for limit in (1, 2, 3, 200):
        found, cursor = [], None
        while True:
            page = world.do(list_company_users, ListRequest, admin, limit=limit, cursor=cursor)
            assert len(page["items"]) <= limit
            found += [item["email"].split("@")[0] for item in page["items"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert found == ["ada", "bob", "u0", "u1", "u2", "u3", "u4"], limit
    for name in ("Bee", "Cee", "Dee"):
        invite(world, world.admin(f"{name}@example.org", name), "u0@example.org")
    call = world.member("u0@example.org")
    first = mine(world, call, limit=3)
    second = mine(world, call, limit=3, cursor=first["next"])
    shown = [item["company"]["name"] for page in (first, second) for item in page["items"]]
    assert (shown, second["next"]) == (["Acme", "Bee", "Cee", "Dee"], None)


def test_invitations_are_counted_first_and_an_address_is_not_flooded_with_mails(world: World) -> None:
    """Issue 6.2: count before work; whose budget is used up is not told to the next inviter."""
    admin = world.admin("ada@example.org")
    for _ in range(9):
        assert invite(world, admin, "victim@example.org")["state"] == "invited"
    mails = [mail for mail in world.mails() if mail["to"] == "victim@example.org"]
    assert 1 <= len(mails) <= 5
    victim = world.member("victim@example.org")
    assert len(mine(world, victim)["items"]) == 1
    for number in range(9, invitations.PERSON_LIMIT.failures):
        invite(world, admin, f"u{number}@example.org")
    with refused("accounts.too_many_attempts"):
        invite(world, admin, "victim@example.org")


def test_addresses_are_not_resolved_to_companies_in_bulk(world: World) -> None:
    """Issue 6.2: 60 addresses were resolved to companies by project rights."""
    admin = world.admin("ada@example.org")
    other = joined(world, admin, "bob@example.org")
    world.admin("zoe@example.org", "Zoe Ltd")

    def find(call: Call, email: str) -> Any:
        return world.do(lookups.find_companies_by_email, requests.FindCompaniesRequest, call, email=email)["companies"]

    refusals = set()

    def worked(call: Call) -> int:
        number = 0
        try:
            while number < 60:
                # Known and unknown addresses count alike.
                assert bool(find(call, "zoe@example.org" if number % 2 else "nobody@example.org")) is bool(number % 2)
                number += 1
        except ServiceError as error:
            refusals.add((error.code, error.status))
        return number

    assert worked(admin) == lookups.PERSON_LIMIT.failures
    assert worked(other) == lookups.COMPANY_LIMIT.failures - lookups.PERSON_LIMIT.failures
    assert refusals == {("accounts.too_many_attempts", 429)}
    # Who is beyond the limit gets the same refusal whatever the address is, and others go on.
    with refused("accounts.too_many_attempts"):
        find(admin, "zoe@example.org")
    assert find(world.admin("eve@example.org", "Eve Ltd"), "zoe@example.org")


def test_who_was_removed_is_no_inviter_and_tells_the_company_nothing_more(world: World) -> None:
    """Issue 6.2: a company read what became of somebody who had left it."""
    admin = world.admin("ada@example.org")
    bob = joined(world, admin, "bob@example.org")
    remove(world, admin, Actor.of(bob).user_id)
    with refused("accounts.user_not_found"):
        invite(world, bob, "new@example.org")
    before = len(world.events())
    with refused("accounts.login_failed"):
        world.login("bob@example.org", "a wrong password")
    world.login("bob@example.org")
    assert {event.get("companyid") for event in world.events()[before:]} == {None}


def test_whoever_is_locked_out_of_every_company_still_has_an_account(world: World) -> None:
    """Issue 6.2: a company of a stranger, or a lost one, must not lock a person's account."""
    admin = world.admin("ada@example.org")
    bob = Actor.of(joined(world, admin, "bob@example.org")).user_id
    token = world.login("bob@example.org")["refresh_token"]
    update(world, admin, bob, locked=True)
    with refused("accounts.refresh_invalid"):
        world.do(sessions.refresh_session, requests.RefreshSessionRequest, refresh_token=token)
    answer = world.login("bob@example.org")
    assert answers.Session().validate(answer) == {}
    assert answer["company"] is None
    assert [(one["name"], one["locked"]) for one in answer["companies"]] == [("Acme", True)]
    call = world.call_of(answer)
    assert [one["locked"] for one in get_me(world.database, call)["companies"]] == [True]
    with refused("accounts.company_not_found"):
        world.login("bob@example.org", company_id=Actor.of(admin).company_id)
    with refused("accounts.locked"):
        world.do(
            exchanges.create_device_session, requests.CreateDeviceSessionRequest, login="bob@example.org",
            password=PASSWORD,
        )  # fmt: skip
    own = world.do(create_company, requests.CreateCompanyRequest, call, name="Bob Ltd")["id"]
    assert Actor.of(world.call_of(world.renew(call))).company_id == own
    checks = world.database.read(lambda connection: check_people(connection, world.kit.keys), snapshot=True)
    assert [flaw for check in checks for flaw in check.flaws] == []
    sue = make_staff(world, "sue@example.org")
    world.do(staff.update_user_staff, requests.UpdateUserStaffRequest, sue, user_id=bob, locked=True)
    with refused("accounts.locked"):
        world.login("bob@example.org")


def test_a_lock_that_is_taken_back_leads_to_the_company_used_last(world: World) -> None:
    admin = world.admin("ada@example.org")
    bob = joined(world, admin, "bob@example.org")
    update(world, admin, Actor.of(bob).user_id, locked=True)
    waiting = world.login("bob@example.org")
    update(world, admin, Actor.of(bob).user_id, locked=False)
    answer = world.do(sessions.refresh_session, requests.RefreshSessionRequest, refresh_token=waiting["refresh_token"])
    assert answer["company"]["id"] == Actor.of(admin).company_id


def test_an_invitation_follows_the_address_and_not_the_person(world: World) -> None:
    admin = world.admin("ada@example.org")
    bob = world.member("bob@example.org")
    invite(world, admin, "bob@example.org")
    assert len(mine(world, bob)["items"]) == 1
    change = {"email": "new@example.org", "password": PASSWORD}
    world.do(email_changes.change_email, requests.ChangeEmailRequest, bob, **change)
    token = world.last_token("email_change")
    world.do(email_changes.confirm_email, requests.ConfirmEmailRequest, bob, token=token)
    assert mine(world, bob)["items"] == []
    with refused("accounts.invitation_of_another"):
        accept(world, bob, world.last_token("invitation"))
    invite(world, admin, "new@example.org")
    assert len(mine(world, bob)["items"]) == 1
