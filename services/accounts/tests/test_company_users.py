"""People of a company: adding, inviting, roles, locks; never without an administrator, however requests meet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eventlet.greenpool import GreenPool

from services.accounts.api import Actor, answers, requests
from services.accounts.audit.people import check_people
from services.accounts.commands import company_users, erasure, sessions
from services.accounts.commands.companies import create_company, update_company, update_company_staff
from services.accounts.commands.invitations import add_company_user
from services.accounts.commands.staff import create_staff
from services.accounts.queries.company_users import list_company_users
from services.accounts.tests.conftest import PASSWORD, World
from services.accounts.tests.test_story import refused
from services.chassis.context import Call
from services.chassis.errors import ServiceError
from services.chassis.fields import ListRequest
from services.chassis.ids import new_id
from services.chassis.wrong_fields import load_request


def update(world: World, call: Call, user_id: str, **values: Any) -> dict[str, Any]:
    answer: dict[str, Any] = world.do(
        company_users.update_company_user, requests.UpdateCompanyUserRequest, call, user_id=user_id, **values
    )
    return answer


def remove(world: World, call: Call, user_id: str) -> None:
    world.do(company_users.remove_company_user, requests.CompanyUserRequest, call, user_id=user_id)


def listed(world: World, call: Call) -> list[tuple[str, str, str]]:
    answer = world.do(list_company_users, ListRequest, call)
    assert answers.CompanyUserList().validate(answer) == {}
    return [(item["email"], item["role"], item["state"]) for item in answer["items"]]


def joined(world: World, admin: Call, email: str, **values: Any) -> Call:
    """Return a call by a new user of the admin's company."""
    world.activate(email)
    user_id = world.join(admin, email)
    if values:
        update(world, admin, user_id, **values)
    return world.call_of(world.login(email))


def test_only_admins_change_users_and_only_those_of_their_company(world: World) -> None:
    admin = world.admin("ada@example.org")
    member = joined(world, admin, "bob@example.org")
    stranger = world.admin("eve@example.org", "Eve Ltd")
    user_id = Actor.of(member).user_id
    before = len(world.events())
    with refused("accounts.admin_needed"):
        update(world, member, user_id, role="admin")
    refusals = []
    for identifier in (user_id, new_id()):
        for act in (lambda one: update(world, stranger, one, locked=True), lambda one: remove(world, stranger, one)):
            with pytest.raises(ServiceError) as caught:
                act(identifier)
            refusals.append(caught.value.args)
    assert len(set(refusals)) == 1
    assert len(world.events()) == before
    with refused("accounts.admin_needed"):
        world.do(update_company, requests.UpdateCompanyRequest, member, name="Mine")


def test_a_lock_ends_the_sessions_in_this_company_and_in_no_other(world: World) -> None:
    admin = world.admin("ada@example.org")
    joined(world, admin, "bob@example.org")
    answer = world.login("bob@example.org")
    call = world.call_of(answer)
    bob = Actor.of(call).user_id
    update(world, admin, bob, locked=True)
    with refused("accounts.refresh_invalid"):
        world.do(sessions.refresh_session, requests.RefreshSessionRequest, refresh_token=answer["refresh_token"])
    assert world.login("bob@example.org")["company"] is None
    revoked = world.revocations()[-1]
    assert (revoked["kind"], revoked["id"], revoked["company_id"]) == ("membership", bob, Actor.of(admin).company_id)
    update(world, admin, bob, locked=False)
    own = world.call_of(world.login("bob@example.org"))
    second = world.do(create_company, requests.CreateCompanyRequest, own, name="Bob Ltd")["id"]
    update(world, admin, bob, locked=True)
    assert world.login("bob@example.org")["company"]["id"] == second
    with refused("accounts.company_not_found"):
        world.login("bob@example.org", company_id=Actor.of(admin).company_id)
    remove(world, admin, bob)
    assert [company["id"] for company in world.login("bob@example.org")["companies"]] == [second]


@pytest.mark.parametrize("act", ["demote", "lock", "remove"])
def test_a_company_keeps_its_last_admin(world: World, act: str) -> None:
    admin = world.admin("ada@example.org")
    joined(world, admin, "bob@example.org")
    me = Actor.of(admin).user_id
    acts: dict[str, Any] = {
        "demote": lambda: update(world, admin, me, role="member"),
        "lock": lambda: update(world, admin, me, locked=True),
        "remove": lambda: remove(world, admin, me),
    }
    before = len(world.events())
    with refused("accounts.last_admin"):
        acts[act]()
    assert len(world.events()) == before
    assert ("ada@example.org", "admin", "member") in listed(world, admin)


def test_two_demotions_at_once_leave_one_admin(world: World) -> None:
    admin = world.admin("ada@example.org")
    other = joined(world, admin, "bob@example.org", role="admin")
    calls = {Actor.of(call).user_id: call for call in (admin, other)}
    one, two = calls

    def demote(pair: tuple[str, str]) -> str:
        try:
            update(world, calls[pair[0]], pair[1], role="member")
        except ServiceError as error:
            return error.code
        return "done"

    for _ in range(10):
        # Each demotes the other; or each demotes itself.
        for pairs in ([(one, two), (two, one)], [(one, one), (two, two)]):
            outcomes = sorted(GreenPool(2).imap(demote, pairs))
            assert outcomes[1] == "done"
            assert outcomes[0] in ("accounts.admin_needed", "accounts.last_admin")
            admins = [email for email, role, _ in listed(world, admin) if role == "admin"]
            assert len(admins) == 1
            keeper = one if admins == ["ada@example.org"] else two
            update(world, calls[keeper], two if keeper == one else one, role="admin")


@pytest.mark.parametrize("first", ["demote", "lock", "remove", "erase"])
@pytest.mark.parametrize("second", ["demote", "lock", "remove"])
def test_two_admins_never_go_at_once_by_whatever_way(world: World, first: str, second: str) -> None:
    admin = world.admin("ada@example.org")
    other = joined(world, admin, "bob@example.org", role="admin")
    joined(world, admin, "eve@example.org")

    def lose(pair: tuple[str, Call]) -> tuple[int, str]:
        way, call = pair
        me = Actor.of(call).user_id
        try:
            if way == "demote":
                update(world, call, me, role="member")
            elif way == "lock":
                update(world, call, me, locked=True)
            elif way == "remove":
                remove(world, call, me)
            else:
                world.do(erasure.erase_me, requests.PasswordRequest, call, password=PASSWORD)
        except ServiceError as error:
            return error.status, error.code
        return 200, "done"

    outcomes = sorted(GreenPool(2).imap(lose, [(first, admin), (second, other)]))
    assert outcomes[0] == (200, "done")
    assert outcomes[1] in ((409, "accounts.last_admin"), (409, "accounts.erasure_refused"))
    checks = world.database.read(lambda connection: check_people(connection, world.kit.keys), snapshot=True)
    assert [flaw for check in checks for flaw in check.flaws] == []


def test_a_login_and_a_lock_that_meet_leave_no_living_session(world: World) -> None:
    admin = world.admin("ada@example.org")
    joined(world, admin, "bob@example.org")
    bob = Actor.of(world.call_of(world.login("bob@example.org"))).user_id

    def act(what: str) -> str:
        try:
            if what == "lock":
                update(world, admin, bob, locked=True)
            else:
                world.login("bob@example.org")
        except ServiceError as error:
            return error.code
        return "done"

    for _ in range(10):
        outcomes = list(GreenPool(3).imap(act, ["login", "lock", "login"]))
        assert outcomes[1] == "done"
        assert set(outcomes) == {"done"}
        checks = world.database.read(lambda connection: check_people(connection, world.kit.keys), snapshot=True)
        assert [flaw for check in checks for flaw in check.flaws] == []
        update(world, admin, bob, locked=False)


def test_staff_do_in_any_company_what_its_admins_do_and_the_company_sees_it(world: World) -> None:
    admin = world.admin("ada@example.org")
    company_id = Actor.of(admin).require_company()
    bob = Actor.of(joined(world, admin, "bob@example.org")).user_id
    world.activate("sue@example.org")
    create_staff(world.database, "sue@example.org", hasher=world.kit.hasher)
    staff = world.call_of(world.login("sue@example.org"))
    company = {"company_id": company_id}
    before = len(world.events())
    world.do(update_company_staff, requests.UpdateCompanyStaffRequest, staff, **company, name="Acme & Sons")
    schema = requests.UpdateCompanyUserStaffRequest
    world.do(company_users.update_company_user_staff, schema, staff, **company, user_id=bob, role="admin")
    ada = Actor.of(admin).user_id
    world.do(company_users.update_company_user_staff, schema, staff, **company, user_id=ada, locked=True)
    with refused("accounts.last_admin"):
        world.do(company_users.update_company_user_staff, schema, staff, **company, user_id=bob, role="member")
    world.do(company_users.remove_company_user_staff, requests.CompanyUserStaffRequest, staff, **company, user_id=ada)
    told = world.events()[before:]
    assert [event["type"] for event in told] == [
        "company_changed", "company_user_changed", "company_user_changed", "company_user_removed",
    ]  # fmt: skip
    assert {(event["companyid"], event["actorid"]) for event in told} == {(company_id, Actor.of(staff).user_id)}
    for caller in (joined(world, world.call_of(world.login("bob@example.org")), "eve@example.org"), admin):
        with refused("accounts.staff_needed"):
            world.do(company_users.update_company_user_staff, schema, caller, **company, user_id=bob, locked=True)
    with refused("accounts.company_not_found"):
        world.do(update_company_staff, requests.UpdateCompanyStaffRequest, staff, company_id=new_id(), name="x")


def test_a_repetition_finds_the_answer_of_before_the_doors_were_apart(world: World) -> None:
    """Both doors keep answers under one name: what is repeated over an update of the service must find its own."""
    admin = world.admin("ada@example.org")
    bob = Actor.of(joined(world, admin, "bob@example.org")).user_id
    world.activate("sue@example.org")
    create_staff(world.database, "sue@example.org", hasher=world.kit.hasher)
    staff = world.call_of(world.login("sue@example.org"))
    company = {"company_id": Actor.of(admin).require_company()}
    for door, schema, name, values in (
        (update_company_staff, requests.UpdateCompanyStaffRequest, "update_company", {"name": "Acme & Sons"}),
        (
            company_users.update_company_user_staff,
            requests.UpdateCompanyUserStaffRequest,
            "update_company_user",
            {"user_id": bob, "role": "admin"},
        ),
        (
            company_users.remove_company_user_staff,
            requests.CompanyUserStaffRequest,
            "remove_company_user",
            {"user_id": bob},
        ),
    ):
        call = replace(staff, command_id=new_id())
        answer = world.do(door, schema, call, again=True, **company, **values)
        request = load_request(schema(), {**company, **values})
        assert world.database.answered(call, name, request) == answer


def test_a_token_that_is_bound_to_a_project_does_nothing_with_the_company_as_a_whole(world: World) -> None:
    admin = world.admin("ada@example.org")
    bob = Actor.of(joined(world, admin, "bob@example.org")).user_id
    bound = replace(admin, claims={**admin.claims, "project": new_id()})
    for act, schema, values in (
        (list_company_users, ListRequest, {}),
        (add_company_user, requests.AddCompanyUserRequest, {"email": "eve@example.org"}),
        (update_company, requests.UpdateCompanyRequest, {"name": "Mine"}),
        (company_users.update_company_user, requests.UpdateCompanyUserRequest, {"user_id": bob, "locked": True}),
        (company_users.remove_company_user, requests.CompanyUserRequest, {"user_id": bob}),
    ):
        with refused("accounts.token_bound"):
            world.do(act, schema, bound, **values)
