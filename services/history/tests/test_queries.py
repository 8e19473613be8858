"""Reading: who sees which lines, filters, order and paging."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from services.accounts.api import needs
from services.chassis.answers import dump
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.data.testing import make_call
from services.chassis.errors import ServiceError
from services.chassis.ids import new_id
from services.history.api import ListHistoryAnswer, ListHistoryRequest
from services.history.queries import page_until
from services.history.tests.conftest import START, Sources

Keep = Callable[..., int]
NOW = START + timedelta(days=1)


class World:
    """Two companies with a device each, a guest right from the first to the second, and who may read what."""

    def __init__(self, database: Database, keep: Keep, sources: Sources) -> None:
        self.database, self.keep, self.sources = database, keep, sources
        self.one, self.other = new_id(), new_id()
        self.admin, self.member, self.stranger = new_id(), new_id(), new_id()
        self.project, self.other_project = new_id(), new_id()
        self.device, self.other_device = new_id(), new_id()
        self.hardware = "00-90-33-08-20-20"
        add = sources.event
        keep(
            add("user_registered", source="accounts", subject=self.member, actor=self.member),
            add("company_created", source="accounts", company=self.one, actor=self.admin),
            add("company_created", source="accounts", company=self.other, actor=self.stranger),
            add("project_created", source="projects", company=self.one, project=self.project, actor=self.admin),
            add("project_created", source="projects", company=self.other, project=self.other_project),
            self.on_device("device_added", "devices", self.one, self.project, self.device, self.member),
            self.on_device("device_added", "devices", self.other, self.other_project, self.other_device, self.stranger),
            self.on_device("licenses_assigned", "licensing", self.one, self.project, self.device, self.admin),
            add("production_registered", source="devices", hardware=self.hardware),
        )

    def on_device(self, type: str, source: str, company: str, project: str, device: str, actor: str) -> Any:
        return self.sources.event(
            type, source=source, company=company, project=project, device=device, hardware=self.hardware, actor=actor
        )

    def right(self, type: str) -> None:
        """Grant or remove the second company's right in the first one's project: an event for each of the two."""
        for company in (self.one, self.other):
            self.keep(self.sources.event(type, source="projects", company=company, project=self.project))

    def as_admin(self) -> Call:
        return make_call(user=self.admin, company=self.one)

    def as_member(self) -> Call:
        return make_call(user=self.member, company=self.one, role="member")

    def as_stranger(self) -> Call:
        return make_call(user=self.stranger, company=self.other)

    def read(self, call: Call, **query: Any) -> dict[str, Any]:
        request = ListHistoryRequest().load(query)
        needs.READ.check(call)
        return dump(ListHistoryAnswer, page_until(self.database, call, request, NOW))

    def actions(self, call: Call, **query: Any) -> list[str]:
        return [item["action"] for item in self.read(call, **query)["items"]]

    def refusal(self, call: Call, **query: Any) -> tuple[int, str, str, dict[str, Any]]:
        with pytest.raises(ServiceError) as refused:
            self.read(call, **query)
        error = refused.value
        return error.status, error.code, error.detail, error.extra


@pytest.fixture
def world(database: Database, keep: Keep, sources: Sources) -> World:
    return World(database, keep, sources)


def test_the_company_reads_its_own_lines_newest_first(world: World) -> None:
    expected = ["licenses_assigned", "device_added", "project_created", "company_created"]
    assert world.actions(world.as_member()) == world.actions(world.as_admin()) == expected


def test_an_item_has_the_published_shape(world: World) -> None:
    item = world.read(world.as_admin(), limit=1)["items"][0]
    assert list(item) == [
        "id", "at", "action", "actor", "company_id", "project_id", "device_id", "hardware_id", "subject", "data",
        "request_id",
    ]  # fmt: skip
    assert item["actor"] == {"id": world.admin, "name": None}
    assert (item["company_id"], item["project_id"], item["device_id"]) == (world.one, world.project, world.device)
    assert item["hardware_id"] == world.hardware
    assert item["at"].endswith("Z")
    assert item["data"]["name"] == "Zürich"


def test_one_who_has_no_company_is_told_so(world: World) -> None:
    assert world.refusal(make_call())[:2] == (403, "accounts.company_needed")


def test_a_token_without_the_read_scope_is_refused(world: World) -> None:
    assert world.refusal(make_call(company=world.one, scopes=("device",)))[:2] == (403, "accounts.scope_needed")


def test_an_absorbed_company_s_lines_belong_to_its_new_company(world: World) -> None:
    call = make_call(company=new_id(), absorbed=(world.one,))
    assert len(world.actions(call)) == 4
    assert len(world.actions(call, id=world.one)) == 4


@pytest.mark.parametrize(
    ("context", "code"),
    [
        ("company", "history.company_not_found"),
        ("user", "history.user_not_found"),
        ("device", "history.device_not_found"),
    ],
)
def test_another_company_s_object_is_answered_like_one_that_does_not_exist(
    world: World, context: str, code: str
) -> None:
    foreign = {"company": world.one, "user": world.admin, "device": world.device}[context]
    refusal = world.refusal(world.as_stranger(), context=context, id=foreign)
    assert refusal == world.refusal(world.as_stranger(), context=context, id=new_id())
    assert refusal[:2] == (404, code)


def test_another_company_s_project_is_answered_like_one_that_does_not_exist(world: World) -> None:
    refusal = world.refusal(world.as_stranger(), project=world.project)
    assert refusal == world.refusal(world.as_stranger(), project=new_id())
    assert refusal[:2] == (404, "history.project_not_found")


def test_the_project_filter_keeps_the_lines_of_the_project(world: World) -> None:
    assert world.actions(world.as_admin(), project=world.project) == [
        "licenses_assigned",
        "device_added",
        "project_created",
    ]


def test_a_guest_reads_the_project_and_its_devices_while_the_right_lasts(world: World) -> None:
    guest = world.as_stranger()
    world.right("project_right_granted")
    lines = ["project_right_granted", "licenses_assigned", "device_added", "project_created"]
    assert world.actions(guest, project=world.project)[-4:] == lines
    assert world.actions(guest, context="device", id=world.device) == ["licenses_assigned", "device_added"]
    assert "licenses_assigned" not in world.actions(guest)
    world.right("project_right_removed")
    assert world.refusal(guest, project=world.project)[1] == "history.project_not_found"
    assert world.refusal(guest, context="device", id=world.device)[1] == "history.device_not_found"


def test_a_guest_does_not_read_what_other_guests_have_in_the_project(world: World) -> None:
    third = new_id()
    world.right("project_right_granted")
    world.keep(world.sources.event("project_right_granted", source="projects", company=third, project=world.project))
    items = world.read(world.as_stranger(), project=world.project)["items"]
    assert third not in {item["company_id"] for item in items}


def test_a_guest_learns_of_no_other_project_of_the_owner(world: World) -> None:
    world.right("project_right_granted")
    here, reserve = {"id": world.project, "name": "Home"}, {"id": new_id(), "name": "Reserve"}
    moves: dict[str, dict[str, object]] = {
        "licenses_assigned": {"drawn": [here, reserve]},
        "licenses_taken_back": {"credited": [reserve]},
        "device_moved": {"from_project_id": reserve["id"], "from_project_name": "Reserve", "project_name": "Home"},
    }
    for action, data in moves.items():
        add = world.sources.event
        world.keep(add(action, company=world.one, project=world.project, device=world.device, data=data))
    for query in ({"project": world.project}, {"context": "device", "id": world.device}):
        items = world.read(world.as_stranger(), **query)["items"]
        seen = {item["action"]: item["data"] for item in items[:3]}
        assert seen == {
            "licenses_assigned": {"drawn": [here]},
            "licenses_taken_back": {"credited": []},
            "device_moved": {"project_name": "Home"},
        }
        for reader in (world.as_admin(), make_call(staff=True)):
            items = world.read(reader, **query)["items"]
            assert {item["action"]: item["data"] for item in items[:3]} == moves


def test_users_read_themselves_and_what_was_done_before_they_had_a_company(world: World) -> None:
    assert world.actions(world.as_member(), context="user") == ["device_added", "user_registered"]
    assert world.actions(world.as_member(), context="user", id=world.member) == ["device_added", "user_registered"]


def test_admins_read_users_of_their_company_and_only_what_happened_in_it(world: World) -> None:
    assert world.actions(world.as_admin(), context="user", id=world.member) == ["device_added"]


def test_members_do_not_read_other_users_of_their_company(world: World) -> None:
    refusal = world.refusal(world.as_member(), context="user", id=world.admin)
    assert refusal[:2] == (403, "history.admin_needed")


def test_the_device_is_found_by_its_record_and_by_its_hardware_id_in_any_spelling(world: World) -> None:
    expected = ["licenses_assigned", "device_added"]
    for name in (world.device, "00-90-33-08-20-20", "00:90:33:08:20:20", "082020"):
        assert world.actions(world.as_admin(), context="device", id=name) == expected


def test_the_device_context_needs_an_id(world: World) -> None:
    assert world.refusal(world.as_admin(), context="device")[:2] == (422, "history.id_needed")


def test_staff_read_everything(world: World) -> None:
    staff = make_call(staff=True)
    assert len(world.actions(staff)) == 9
    assert len(world.actions(staff, id=world.one)) == 4
    assert len(world.actions(staff, context="device", id=world.hardware)) == 4
    assert world.actions(staff, context="user", id=world.member) == ["device_added", "user_registered"]
    assert len(world.actions(staff, project=world.project)) == 3


def test_a_token_bound_to_a_project_reads_that_project_only(world: World) -> None:
    call = world.as_admin()
    bound = Call(claims={**call.claims, "project": world.project})
    assert world.actions(bound) == ["licenses_assigned", "device_added", "project_created"]
    assert world.refusal(bound, project=world.other_project)[1] == "history.project_not_found"


def test_the_action_filter_keeps_one_kind_of_line(world: World) -> None:
    assert world.actions(world.as_admin(), action="device_added") == ["device_added"]
    assert world.actions(world.as_admin(), action="unheard_of") == []


def test_periods_and_bounds_hold_together(world: World) -> None:
    company, reader = new_id(), None
    reader = make_call(company=company)
    ages = {"hour": 1, "days": 49, "weeks": 24 * 20, "months": 24 * 200, "years": 24 * 900}
    for name, hours in ages.items():
        world.keep(world.sources.event(name, company=company, at=NOW - timedelta(hours=hours)))
    assert world.actions(reader, period="day") == ["hour"]
    assert world.actions(reader, period="week") == ["hour", "days"]
    assert world.actions(reader, period="month") == ["hour", "days", "weeks"]
    assert world.actions(reader, period="year") == ["hour", "days", "weeks", "months"]
    assert world.actions(reader, period="all") == list(ages)
    edge = (NOW - timedelta(hours=49)).isoformat()
    assert world.actions(reader, **{"from": edge}) == ["hour", "days"]
    assert world.actions(reader, to=edge) == ["weeks", "months", "years"]
    assert world.actions(reader, period="week", to=edge) == []


def test_pages_follow_each_other_without_gap_or_repetition(world: World) -> None:
    company = new_id()
    same = NOW - timedelta(hours=1)
    world.keep(*[world.sources.event(f"a{n}", company=company, at=same) for n in range(5)])
    world.keep(*[world.sources.event(f"b{n}", company=company) for n in range(5)])
    reader = make_call(company=company)
    seen: list[str] = []
    cursor = None
    for _ in range(4):
        page = world.read(reader, limit=3, cursor=cursor)
        seen += [item["action"] for item in page["items"]]
        cursor = page["next"]
        # A line that comes late and belongs to a page already read must not move the others.
        world.keep(world.sources.event("late", company=company, at=NOW))
    assert cursor is None
    assert seen == [f"a{n}" for n in (4, 3, 2, 1, 0)] + [f"b{n}" for n in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize("cursor", ["x", "!!!", "W10", "WyIyMDI2Il0", "bnVsbA", "é", "WzEsMl0", "eyJhIjoxfQ"])
def test_a_made_up_cursor_is_refused(world: World, cursor: str) -> None:
    assert world.refusal(world.as_admin(), cursor=cursor)[:2] == (422, "request.invalid")


def test_where_a_login_failed_is_read_by_the_person_administrators_and_staff_alone(world: World) -> None:
    """Issue 6.3: `login_failed` carries the address; a colleague does not learn from where somebody logs in."""
    data: dict[str, object] = {"user_id": world.admin, "reason": "password", "address": "198.51.100.23"}
    mine: dict[str, object] = {"user_id": world.member, "reason": "otp", "address": "203.0.113.5"}
    add = world.sources.event
    world.keep(
        add("login_failed", source="accounts", company=world.one, subject=world.admin, data=data),
        add("login_failed", source="accounts", company=world.one, subject=world.member, data=mine),
    )

    def told(call: Call, **query: Any) -> Any:
        return [item["data"] for item in world.read(call, action="login_failed", **query)["items"]]

    assert told(world.as_admin()) == [mine, data]
    assert told(make_call(staff=True), context="company") == [mine, data]
    assert told(world.as_member()) == [mine, {"user_id": world.admin, "reason": "password"}]
    assert told(world.as_member(), context="user") == [mine]
    assert told(world.as_stranger()) == []
