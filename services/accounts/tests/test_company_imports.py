"""Import of another company (ACC-6): one write takes everything along, whatever is refused, repeated or killed."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from eventlet.greenpool import GreenPool

from services.accounts import otp
from services.accounts.api import MERGING_ROOMS, SCOPE_REHEARSAL, Actor, MergeRehearsal, answers, requests
from services.accounts.audit import check_imports
from services.accounts.commands import api_tokens, company_imports, exchanges, invitations, second_factor
from services.accounts.commands.companies import create_company
from services.accounts.models import ApiToken, Company, CompanyImport, Membership, Session, User
from services.accounts.queries.jobs import get_job
from services.accounts.store import companies
from services.accounts.tests.conftest import PASSWORD, World, claims_of
from services.accounts.tests.test_company_users import joined, listed, update
from services.chassis.context import Call
from services.chassis.data.outbox import Event
from services.chassis.data.testing import make_call
from services.chassis.errors import ServiceError
from services.chassis.faults import InjectedFault, set_fail_points
from services.chassis.fields import EmptyRequest
from services.chassis.ids import new_id


@pytest.fixture(autouse=True)
def _no_fail_points() -> Iterator[None]:
    yield
    set_fail_points("")


def code_of(work: Callable[[], Any]) -> str:
    """Return the code with which something is refused."""
    with pytest.raises(ServiceError) as caught:
        work()
    return caught.value.code


def take(world: World, call: Call, email: str = "otto@other.example", **values: Any) -> dict[str, Any]:
    """Import the company of which this address is an administrator."""
    answer: dict[str, Any] = world.do(
        company_imports.import_company,
        requests.ImportCompanyRequest,
        call,
        email=email,
        **{"password": PASSWORD, **values},
    )
    return answer


def job(world: World, call: Call, job_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = world.do(get_job, requests.JobRequest, call, job_id=job_id)
    assert answers.Job().validate(answer) == {}
    return answer


def applied(merge_id: str, room: str, **counts: int) -> Event:
    """Return the word of a room as history passes it on."""
    data = {"merge_id": merge_id, "room": room, "counts": counts}
    return Event(new_id(), "history", "company_merge_applied", now(), merge_id, 1, data)


def note(world: World, *events: Event) -> None:
    world.database.write(lambda unit: company_imports.apply_history_events(unit, list(events)))


def now() -> datetime:
    return datetime.now(UTC)


def flaws(world: World) -> list[str]:
    checks = world.database.read(check_imports, snapshot=True)
    return [flaw for check in checks for flaw in check.flaws if not check.passing]


def snapshot(world: World) -> dict[str, Any]:
    """Return everything that an import may change."""
    tables = (Company, Membership, Session, ApiToken, CompanyImport, User)
    with world.database.engine.connect() as connection:
        rows = {t.__tablename__: connection.execute(sa.select(*t.__table__.c)).all() for t in tables}
    return {name: sorted(str(row) for row in found) for name, found in rows.items()}


class Two:
    """Our company with a member, and another one with an administrator, a member, a locked one and one of both."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ours = world.admin("ada@ours.example", "Ours")
        self.other = world.admin("otto@other.example", "Other")
        self.member = joined(world, self.other, "mia@other.example")
        self.locked = joined(world, self.other, "lea@other.example")
        update(world, self.other, Actor.of(self.locked).user_id, locked=True)

    @property
    def our_id(self) -> str:
        return str(Actor.of(self.ours).company_id)

    @property
    def other_id(self) -> str:
        return str(Actor.of(self.other).company_id)


@pytest.fixture
def two(world: World) -> Two:
    return Two(world)


def test_one_write_takes_everything_along(world: World, two: Two) -> None:
    invited(world, two.other, "new@elsewhere.example")
    answer = take(world, two.ours)
    assert (answer["state"], answer["done"], answer["total"], answer["result"]) == ("running", 1, 5, None)
    fresh = world.call_of(world.renew(two.ours))
    assert Actor.of(fresh).company_ids == (two.our_id, two.other_id)
    assert sorted(listed(world, fresh)) == [
        ("ada@ours.example", "admin", "member"),
        ("lea@other.example", "member", "member"),
        ("mia@other.example", "member", "member"),
        ("new@elsewhere.example", "member", "invited"),
        ("otto@other.example", "member", "member"),
    ]
    assert code_of(lambda: world.renew(two.other)) == "accounts.session_ended"
    otto = world.login("otto@other.example")
    assert otto["company"] == {"id": two.our_id, "name": "Ours", "role": "member"}
    assert [one["id"] for one in otto["companies"]] == [two.our_id]
    lea = world.login("lea@other.example")
    assert (lea["company"], [one["locked"] for one in lea["companies"]]) == (None, [True])
    assert flaws(world) == []
    assert world.mails()[-1]["template"] == "company_imported"
    assert world.mails()[-1]["to"] == "otto@other.example"


def test_both_companies_are_told_once_and_every_new_member(world: World, two: Two) -> None:
    before = len(world.events())
    merge_id = take(world, two.ours)["id"]
    told = [event for event in world.events()[before:] if event["type"] == "company_merged"]
    assert [(event["companyid"], event["data"]["copy"]) for event in told] == [
        (two.our_id, False),
        (two.other_id, True),
    ]
    assert told[0]["data"] == {
        "merge_id": merge_id,
        "company_id": two.our_id,
        "gone_id": two.other_id,
        "gone_ids": [two.other_id],
        "gone_name": "Other",
        "copy": False,
    }
    added = [event for event in world.events()[before:] if event["type"] == "company_user_added"]
    assert len(added) == 3
    assert {event["companyid"] for event in added} == {two.our_id}
    assert sorted(event["data"]["locked"] for event in added) == [False, False, True]


def test_who_is_a_member_already_keeps_role_and_lock(world: World, two: Two) -> None:
    token = invited(world, two.ours, "otto@other.example")
    both = world.call_of(world.login("otto@other.example", company_id=two.other_id))
    world.do(invitations.accept_invitation, requests.AcceptInvitationRequest, both, token=token)
    update(world, two.ours, Actor.of(both).user_id, role="admin")
    take(world, two.ours)
    roles = {email: role for email, role, _ in listed(world, world.call_of(world.renew(two.ours)))}
    assert roles["otto@other.example"] == "admin"
    assert roles["mia@other.example"] == "member"


def invited(world: World, admin: Call, email: str) -> str:
    world.do(invitations.add_company_user, requests.AddCompanyUserRequest, admin, email=email)
    return world.last_token("invitation")


def test_api_tokens_go_on_in_the_new_company(world: World, two: Two) -> None:
    made = world.do(
        api_tokens.create_api_token, requests.CreateApiTokenRequest, two.member, name="box", scopes=["read", "device"]
    )
    take(world, two.ours)
    access = world.do(exchanges.exchange_token, requests.ExchangeTokenRequest, token=made["token"])
    claims = claims_of(world.kit, access["access_token"])
    assert (claims["company"], claims["companies"]) == (two.our_id, [two.our_id, two.other_id])
    assert claims["role"] == "member"


def test_a_rehearsal_changes_nothing_and_opens_the_rooms_for_reading(world: World, two: Two) -> None:
    before, events = snapshot(world), len(world.events())
    answer = take(world, two.ours, dry_run=True)
    assert answers.ImportRehearsal().validate(answer) == {}
    assert answer["company"] == {"id": two.other_id, "name": "Other"}
    assert answer["users"] == {"moving": 3, "already_members": 0, "admins": 1, "invitations": 0, "api_tokens": 0}
    claims = claims_of(world.kit, answer["token"])
    assert claims["scopes"] == [SCOPE_REHEARSAL]
    assert claims["exp"] - claims["iat"] <= 61
    rehearsal = MergeRehearsal.of(Call(claims=claims))
    assert rehearsal == MergeRehearsal((two.our_id,), (two.other_id,), "Other")
    assert code_of(lambda: MergeRehearsal.of(two.ours)) == "accounts.scope_needed"
    assert (snapshot(world), len(world.events())) == (before, events)


def test_what_is_refused_changes_nothing(world: World, two: Two) -> None:
    world.admin("solo@third.example", "Third")
    before = snapshot(world)
    cases: list[tuple[Call, dict[str, Any], str]] = [
        (two.ours, {"password": "wrong password"}, "accounts.import_login_failed"),
        (two.ours, {"email": "nobody@other.example"}, "accounts.import_login_failed"),
        (two.ours, {"email": "mia@other.example"}, "accounts.import_admin_needed"),
        (two.ours, {"email": "lea@other.example"}, "accounts.import_admin_needed"),
        (two.ours, {"email": "ada@ours.example"}, "accounts.import_own_company"),
        (two.ours, {"company_id": two.our_id}, "accounts.import_admin_needed"),
        (two.ours, {"company_id": new_id()}, "accounts.import_admin_needed"),
        (two.member, {"email": "solo@third.example"}, "accounts.admin_needed"),
    ]
    for call, values, code in cases:
        for dry_run in (True, False):
            assert code_of(lambda v=values, c=call, d=dry_run: take(world, c, dry_run=d, **v)) == code  # type: ignore[misc]
    assert snapshot(world) == before
    assert "company_merged" not in world.types()
    failed = [event for event in world.events() if event["type"] == "login_failed"]
    assert [(event.get("actorid"), event["data"]["reason"]) for event in failed] == [(None, "import")] * 4


def test_an_api_token_imports_nothing(world: World, two: Two) -> None:
    weak = Call(claims={**two.ours.claims, "scopes": ["read", "write"]}, token=two.ours.token)
    assert code_of(lambda: take(world, weak)) == "accounts.scope_needed"


def test_wrong_passwords_are_slowed_down_like_logins(world: World, two: Two) -> None:
    codes = [code_of(lambda: take(world, two.ours, password="wrong password")) for _ in range(11)]
    assert codes[:9] == ["accounts.import_login_failed"] * 9
    assert codes[-1] == "accounts.too_many_attempts"
    assert code_of(lambda: take(world, two.ours)) == "accounts.too_many_attempts"


def test_an_administrator_of_several_companies_is_asked_which(world: World, two: Two) -> None:
    second = world.do(create_company, requests.CreateCompanyRequest, two.other, name="Second")["id"]
    with pytest.raises(ServiceError) as caught:
        take(world, two.ours)
    assert (caught.value.status, caught.value.code) == (409, "accounts.import_ambiguous")
    assert {one["name"] for one in caught.value.extra["companies"]} == {"Other", "Second"}
    take(world, two.ours, company_id=second)
    left = world.login("otto@other.example")["companies"]
    assert {(one["name"], one["role"]) for one in left} == {("Other", "admin"), ("Ours", "member")}


def second_factor_of(world: World, call: Call) -> bytes:
    """Switch a user's second factor on and return its secret."""
    text = world.do(second_factor.create_otp, EmptyRequest, call)["secret"]
    secret = base64.b32decode(text + "=" * (-len(text) % 8))
    code = otp.code_at(secret, otp.step_of(now()) - 1)
    world.do(second_factor.confirm_otp, requests.OtpRequest, call, otp=code)
    return secret


def test_the_second_factor_is_asked_for_and_the_rehearsed_code_is_good_for_the_import(world: World, two: Two) -> None:
    secret = second_factor_of(world, two.other)
    assert code_of(lambda: take(world, two.ours)) == "accounts.import_otp_needed"
    assert code_of(lambda: take(world, two.ours, otp="000000", dry_run=True)) == "accounts.import_login_failed"
    code = otp.code_at(secret, otp.step_of(now()))
    take(world, two.ours, otp=code, dry_run=True)
    stranger = world.admin("eve@third.example", "Third")
    assert code_of(lambda: take(world, stranger, otp=code)) == "accounts.import_login_failed"
    assert code_of(lambda: world.login("otto@other.example", otp=code)) == "accounts.login_failed"
    take(world, two.ours, otp=code, dry_run=True)
    assert take(world, two.ours, otp=code)["state"] == "running"


def test_a_repetition_gets_the_same_answer(world: World, two: Two) -> None:
    secret = second_factor_of(world, two.other)
    code = otp.code_at(secret, otp.step_of(now()))
    values = {"email": "otto@other.example", "password": PASSWORD, "otp": code}

    def ask(call: Call) -> Any:
        return world.do(company_imports.import_company, requests.ImportCompanyRequest, call, again=True, **values)

    first = ask(two.ours)
    fresh = world.call_of(world.renew(two.ours), command_id=two.ours.command_id)
    assert [ask(two.ours), ask(fresh)] == [first, first]
    assert world.types().count("company_merged") == 2
    assert code_of(lambda: take(world, two.ours, otp=code)) == "accounts.import_login_failed"


@pytest.mark.parametrize(
    ("point", "happened"),
    [
        ("accounts.import.before_switch", False),
        ("accounts.import.in_switch", False),
        ("accounts.import.after_commit", True),
    ],
)
def test_killed_anywhere_it_happened_whole_or_not_at_all(world: World, two: Two, point: str, happened: bool) -> None:
    before = snapshot(world)
    values = {"email": "otto@other.example", "password": PASSWORD}
    set_fail_points(f"{point}=raise")
    with pytest.raises(InjectedFault):
        world.do(company_imports.import_company, requests.ImportCompanyRequest, two.ours, again=True, **values)
    assert (snapshot(world) != before) is happened
    set_fail_points("")
    answer = world.do(company_imports.import_company, requests.ImportCompanyRequest, two.ours, again=True, **values)
    assert answer["state"] == "running"
    assert world.types().count("company_merged") == 2
    assert flaws(world) == []


def test_two_imports_that_cross_have_one_winner(world: World, two: Two) -> None:
    def run(call: Call, email: str) -> str:
        try:
            return str(take(world, call, email=email)["state"])
        except ServiceError as error:
            return error.code

    pool = GreenPool()
    found = list(pool.starmap(run, [(two.ours, "otto@other.example"), (two.other, "ada@ours.example")]))
    assert max(found) == "running"
    assert min(found) in ("accounts.company_absorbed", "accounts.import_admin_needed")
    with world.database.engine.connect() as connection:
        living = connection.execute(sa.select(Company.id).where(Company.absorbed_into.is_(None))).scalars().all()
    assert len(living) == 1
    assert flaws(world) == []


def test_aliases_pass_on_and_stay_flat(world: World, two: Two) -> None:
    third = world.admin("eve@third.example", "Third")
    third_id = Actor.of(third).company_id
    take(world, two.other, email="eve@third.example")
    take(world, two.ours)
    actor = Actor.of(world.call_of(world.renew(two.ours)))
    assert set(actor.company_ids) == {two.our_id, two.other_id, third_id}
    assert world.login("eve@third.example")["company"]["id"] == two.our_id
    with world.database.engine.connect() as connection:
        assert companies.current_id(connection, str(third_id)) == two.our_id
    assert flaws(world) == []


def test_the_job_is_done_when_every_room_has_spoken(world: World, two: Two) -> None:
    merge_id = take(world, two.ours)["id"]
    for number, room in enumerate(MERGING_ROOMS, start=2):
        assert job(world, two.ours, merge_id)["state"] == "running"
        note(world, applied(merge_id, room, things=number), applied(merge_id, room, things=99))
        assert job(world, two.ours, merge_id)["done"] == number
    done = job(world, two.ours, merge_id)
    assert done["state"] == "done"
    assert done["result"]["company"] == {"id": two.other_id, "name": "Other"}
    assert done["result"]["moved"]["projects"] == {"things": 2}
    assert done["result"]["moved"]["accounts"]["moving"] == 3
    note(world, applied(merge_id, "projects"), applied(new_id(), "projects"))
    finished = [event for event in world.events() if event["type"] == "company_merge_finished"]
    assert [(event["companyid"], event["actorid"]) for event in finished] == [(two.our_id, Actor.of(two.ours).user_id)]


def test_a_job_is_shown_to_administrators_and_to_who_started_it(world: World, two: Two) -> None:
    stranger = world.admin("eve@third.example", "Third")
    merge_id = take(world, two.ours)["id"]
    otto = world.call_of(world.login("otto@other.example"))
    assert code_of(lambda: job(world, stranger, merge_id)) == "accounts.job_not_found"
    assert code_of(lambda: job(world, otto, merge_id)) == "accounts.admin_needed"
    staff = make_call(staff=True)
    assert job(world, staff, merge_id)["id"] == merge_id
    update(world, two.ours, Actor.of(otto).user_id, role="admin")
    assert job(world, world.call_of(world.renew(otto)), merge_id)["id"] == merge_id


def test_rooms_that_are_late_are_told_once_more(world: World, two: Two) -> None:
    merge_id = take(world, two.ours)["id"]
    assert 0 <= company_imports.watch_imports(world.database) < 60
    assert world.types().count("company_merged") == 2
    with world.database.engine.begin() as connection:
        long_ago = now() - timedelta(minutes=6)
        connection.execute(sa.update(CompanyImport).values(started_at=long_ago, told_at=long_ago))
    for _ in range(2):
        assert company_imports.watch_imports(world.database) > 300
    told = [event for event in world.events() if event["type"] == "company_merged"]
    assert [(event.get("companyid"), event["data"]["copy"]) for event in told[2:]] == [(None, False)]
    note(world, *(applied(merge_id, room) for room in MERGING_ROOMS))
    assert company_imports.watch_imports(world.database) == 0
