"""Adding devices: every line its result, warnings need a yes, nothing twice, and both companies are told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from services.chassis.data.testing import make_call
from services.chassis.errors import ServiceError
from services.chassis.ids import new_id
from services.devices.audit import report
from services.devices.tests.conftest import ORDER, SEED, Company, Room, staff


def results(answer: dict[str, Any]) -> list[tuple[str | None, str, str | None]]:
    return [(item["hardware_id"], item["result"], item["code"]) for item in answer["items"]]


def refusal(call: Any, *arguments: Any, **request: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        call(*arguments, **request)
    return caught.value


def test_every_spelling_of_the_list_is_added_in_its_order_with_one_event_each(room: Room, reseller: Company) -> None:
    inputs = ["00:90:33:08:20:20", " 00903308 2021".replace(" ", ""), "082022", "00.90.33.24.20.20"]
    answer = room.add_devices(reseller.call(), project_id=reseller.project, hardware_ids=inputs)
    assert answer["summary"] == {"added": 4}
    assert [(item["input"], item["hardware_id"], item["type"]) for item in answer["items"]] == [
        (shown, hardware_id, type_name) for shown, (hardware_id, type_name) in zip(inputs, SEED.items(), strict=True)
    ]
    events = room.events()
    assert [(event["type"], event["hardwareid"], event["companyid"]) for event in events] == [
        ("device_added", hardware_id, reseller.id) for hardware_id in SEED
    ]
    assert [event["deviceid"] for event in events] == [item["device_id"] for item in answer["items"]]
    assert {event["actorid"] for event in events} == {reseller.user}


@pytest.mark.parametrize(
    "source",
    [
        {"range": {"first": "082020", "last": "00-90-33-08-20-22"}},
        {"text": "00-90-33-08-20-20 00-90-33-08-20-21\n00-90-33-08-20-22\r\n"},
    ],
)
def test_range_and_text_add_what_they_name(room: Room, reseller: Company, source: dict[str, Any]) -> None:
    answer = room.add_devices(reseller.call(), project_id=reseller.project, **source)
    assert results(answer) == [(hardware_id, "added", None) for hardware_id in list(SEED)[:3]]


def test_an_order_adds_all_its_devices_and_the_records_know_it(room: Room, reseller: Company) -> None:
    answer = room.add_devices(reseller.call(), project_id=reseller.project, order_number=f" {ORDER} ")
    assert [item[0] for item in results(answer)] == sorted(SEED)
    listed = room.list_devices(reseller.call(), filter=ORDER)
    assert {item["order_number"] for item in listed["items"]} == {ORDER}


def test_errors_never_stop_the_good_lines(room: Room, reseller: Company) -> None:
    first = next(iter(SEED))
    room.add_devices(reseller.call(), project_id=reseller.project, hardware_ids=[first])
    room.clear_events()
    inputs = [first, "no id", "00-90-33-ff-ff-ff", "082021", "00:90:33:08:20:21", "11-22-33-44-55-66"]
    answer = room.add_devices(reseller.call(), project_id=reseller.project, hardware_ids=inputs)
    assert results(answer) == [
        (first, "refused", "devices.already_in_company"),
        (None, "refused", "devices.malformed_id"),
        ("00-90-33-FF-FF-FF", "refused", "devices.not_found"),
        ("00-90-33-08-20-21", "added", None),
        ("00-90-33-08-20-21", "refused", "devices.repeated_in_request"),
        (None, "refused", "devices.malformed_id"),
    ]
    assert all(item["detail"] for item in answer["items"] if item["code"])
    assert len(room.events()) == 1


def test_a_rehearsal_tells_the_same_and_changes_nothing(room: Room, reseller: Company, customer: Company) -> None:
    held, free = list(SEED)[:2]
    room.add_devices(customer.call(), project_id=customer.project, hardware_ids=[held])
    room.clear_events()
    request = {"project_id": reseller.project, "hardware_ids": [held, free, "082099", free], "dry_run": True}
    answer = room.add_devices(reseller.call(), **request)
    assert results(answer) == [
        (held, "warning", "devices.in_other_company"),
        (free, "ok", None),
        ("00-90-33-08-20-99", "error", "devices.not_found"),
        (free, "error", "devices.repeated_in_request"),
    ]
    assert answer["summary"] == {"warning": 1, "ok": 1, "error": 2}
    assert not room.events()
    assert room.list_devices(reseller.call())["items"] == []


def test_a_device_of_another_company_needs_a_yes_and_both_are_told_but_never_who(
    room: Room, reseller: Company, customer: Company
) -> None:
    held = next(iter(SEED))
    room.add_devices(customer.call(), project_id=customer.project, hardware_ids=[held])
    room.clear_events()
    request: dict[str, Any] = {"project_id": reseller.project, "hardware_ids": [held]}
    assert results(room.add_devices(reseller.call(), **request)) == [(held, "refused", "devices.in_other_company")]
    assert not room.events()
    yes = [{"hardware_id": "00:90:33:08:20:20", "code": "devices.in_other_company"}]
    assert results(room.add_devices(reseller.call(), **request, accept_warnings=yes)) == [(held, "added", None)]
    mine, theirs = room.events()
    assert (mine["type"], mine["companyid"]) == ("device_added", reseller.id)
    assert (theirs["type"], theirs["companyid"], theirs["projectid"]) == (
        "device_added_elsewhere",
        customer.id,
        customer.project,
    )
    told = str(theirs)
    for secret in (reseller.id, reseller.user, reseller.project, mine["deviceid"], mine["requestid"]):
        assert secret not in told


def test_more_than_fifty_are_refused_whole_with_the_count(room: Room, reseller: Company) -> None:
    seeds_own_example = {"range": {"first": "00-90-33-08-20-00", "last": "00-90-33-08-22-00"}}
    many = [f"{number:06x}" for number in range(51)]
    for source, count in (
        (seeds_own_example, 513),
        ({"range": {"first": "009033000000", "last": "809033FFFFFF"}}, (0x809033FFFFFF - 0x009033000000) + 1),
        ({"hardware_ids": many}, 51),
        ({"hardware_ids": ["082020"] * 51}, 51),
        ({"text": "\n".join(many)}, 51),
    ):
        error = refusal(room.add_devices, reseller.call(), project_id=reseller.project, **source)
        assert (error.code, error.status, error.extra) == ("devices.too_many", 422, {"count": count, "limit": 50})
    assert not room.events()


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ({}, "request.invalid"),
        (
            {
                "hardware_ids": [],
            },
            "request.invalid",
        ),
        ({"text": " \n"}, "request.invalid"),
        ({"text": "082020", "hardware_ids": ["082020"]}, "request.invalid"),
        ({"hardware_ids": [7]}, "request.invalid"),
        ({"hardware_ids": ["082020"], "surplus": 1}, "request.invalid"),
        ({"hardware_ids": ["082020"], "dry_run": "yes"}, "request.invalid"),
        ({"hardware_ids": ["082020"], "accept_warnings": [{"hardware_id": "082020", "code": "x"}]}, "request.invalid"),
        (
            {"hardware_ids": ["082020"], "accept_warnings": [{"hardware_id": "?", "code": "devices.in_other_company"}]},
            "devices.malformed_id",
        ),
        ({"range": {"first": "082022", "last": "082020"}}, "devices.range_invalid"),
        ({"range": {"first": "00077-0391552-8", "last": "082020"}}, "devices.range_invalid"),
        ({"range": {"first": "082020"}}, "request.invalid"),
        ({"order_number": "<4711>"}, "devices.malformed_order_number"),
    ],
)
def test_a_wrong_request_is_refused_whole(room: Room, reseller: Company, source: dict[str, Any], code: str) -> None:
    error = refusal(room.add_devices, reseller.call(), project_id=reseller.project, **source)
    assert (error.code, error.status) == (code, 422)
    assert not room.events()


def test_the_same_command_has_one_effect_and_one_answer(room: Room, reseller: Company) -> None:
    call = reseller.call()
    request = {"project_id": reseller.project, "hardware_ids": ["082020", "082021", "nonsense"]}
    first = room.add_devices(call, **request)
    assert room.add_devices(call, **request) == first
    assert len(room.events()) == 2
    # With a new key the batch finishes itself: what is there is told, what is missing is added (rule L17).
    again = room.add_devices(reseller.call(), **{**request, "hardware_ids": ["082020", "082022"]})
    assert [item["result"] for item in again["items"]] == ["refused", "added"]


def test_two_of_a_company_at_once_add_a_device_once(room: Room, reseller: Company) -> None:
    def add(_: int) -> str:
        request = {"project_id": reseller.project, "hardware_ids": list(SEED)}
        return ",".join(item["result"] for item in room.add_devices(reseller.call(), **request)["items"])

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(add, range(8)))
    assert sorted(answers) == ["added,added,added,added"] + ["refused,refused,refused,refused"] * 7
    assert len(room.events()) == len(SEED)


def test_a_guest_adds_for_the_owner_of_the_project(room: Room, reseller: Company, customer: Company) -> None:
    room.projects.let(customer.project, reseller.id)
    answer = room.add_devices(reseller.call(), project_id=customer.project, hardware_ids=["082020"])
    device_id = answer["items"][0]["device_id"]
    (event,) = room.events()
    assert (event["companyid"], event["actorid"]) == (customer.id, reseller.user)
    assert room.get_device(customer.call(), device_id=device_id)["foreign"] is False
    assert room.get_device(reseller.call(), device_id=device_id)["foreign"] is True
    assert room.list_devices(reseller.call())["items"] == []
    assert len(room.list_devices(reseller.call(), project=customer.project)["items"]) == 1


def test_strangers_and_staff_add_nothing(room: Room, reseller: Company, customer: Company) -> None:
    request = {"project_id": customer.project, "hardware_ids": ["082020"]}
    foreign = refusal(room.add_devices, reseller.call(), **request)
    unknown = refusal(room.add_devices, reseller.call(), **{**request, "project_id": new_id()})
    assert foreign.args == unknown.args
    assert foreign.status == 404
    assert refusal(room.add_devices, staff(), **request).code == "access.power_needed"
    assert refusal(room.add_devices, customer.call(scopes=("read",)), **request).code == "accounts.scope_needed"
    assert not room.events()


@pytest.mark.parametrize("state", ["archived", "closed"])
def test_a_project_that_is_not_open_takes_no_device(room: Room, reseller: Company, state: str) -> None:
    project = room.projects.add(reseller.id, "Old", state=state)
    error = refusal(room.add_devices, reseller.call(), project_id=project, hardware_ids=["082020"])
    assert (error.code, error.status) == ("devices.project_closed", 409)
    assert not room.events()


def test_devices_of_others_are_looked_up_sixty_an_hour_and_a_rehearsal_does_not_forbid_its_confirmation(
    empty_room: Room,
) -> None:
    room = empty_room
    ids = [f"00-90-33-00-00-{number:02X}" for number in range(101)]
    devices = [{"hardware_id": key, "type": "IP110", "shipped_on": None} for key in ids]
    room.register_production(staff(), order_number="A", devices=devices)
    holder, curious = room.company(), room.company()
    room.add_devices(holder.call(), project_id=holder.project, order_number="A")
    for part in (ids[:50], ids[50:100]):
        request = {"project_id": curious.project, "hardware_ids": part, "dry_run": True}
        assert room.add_devices(curious.call(), **request)["summary"] == {"warning": 50}
    error = refusal(room.add_devices, curious.call(), project_id=curious.project, hardware_ids=[ids[100]])
    assert (error.code, error.status) == ("devices.throttled", 429)
    assert 3500 < error.extra["retry_after"] <= 3601
    yes = [{"hardware_id": key, "code": "devices.in_other_company"} for key in ids[:50]]
    answer = room.add_devices(curious.call(), project_id=curious.project, hardware_ids=ids[:50], accept_warnings=yes)
    assert answer["summary"] == {"added": 50}
    # Another person of the company has not looked up anything yet.
    other = make_call(company=curious.id)
    assert room.add_devices(other, project_id=curious.project, hardware_ids=[ids[100]])["summary"] == {"refused": 1}


def test_wrong_order_numbers_are_counted_and_right_ones_are_not(room: Room, reseller: Company) -> None:
    for _ in range(20):
        assert len(room.list_order_devices(reseller.call(), number=ORDER)["items"]) == len(SEED)
    for number in range(10):
        error = refusal(room.list_order_devices, reseller.call(), number=f"no-{number}")
        assert (error.code, error.status) == ("devices.order_not_found", 404)
    assert refusal(room.list_order_devices, reseller.call(), number="no-11").code == "devices.throttled"
    assert refusal(room.list_order_devices, reseller.call(), number=ORDER).code == "devices.throttled"
    request = {"project_id": reseller.project, "order_number": ORDER}
    assert refusal(room.add_devices, reseller.call(), **request).code == "devices.throttled"


def test_what_was_typed_comes_back_in_a_form_that_is_safe_to_show(room: Room, reseller: Company) -> None:
    inputs = ["a\x07b", "x" * 500, "\u0660\u0661\u0662\u0663\u0664\u0665"]
    answer = room.add_devices(reseller.call(), project_id=reseller.project, hardware_ids=inputs)
    assert [item["code"] for item in answer["items"]] == ["devices.malformed_id"] * 3
    assert answer["items"][0]["input"] == "a\ufffdb"
    assert len(answer["items"][1]["input"]) == 64


@pytest.mark.parametrize("typed", ["a\x00b", "\ud800"])
def test_what_no_text_can_hold_is_refused_with_its_place(room: Room, reseller: Company, typed: str) -> None:
    error = refusal(room.add_devices, reseller.call(), project_id=reseller.project, hardware_ids=["00903308", typed])
    assert (error.code, error.extra["errors"][0]["pointer"]) == ("request.invalid", "/hardware_ids/1")


def test_the_audit_is_clean_after_it_all(room: Room, reseller: Company, customer: Company) -> None:
    room.add_devices(reseller.call(), project_id=reseller.project, order_number=ORDER)
    room.add_devices(customer.call(), project_id=customer.project, hardware_ids=["082020"])
    checks = {check.name: check for check in room.database.read(report, snapshot=True).checks}
    assert not checks["one record per company and device"].flaws
    assert not checks["records belong to their projects"].flaws
    assert checks["production ids canonical"].digest
