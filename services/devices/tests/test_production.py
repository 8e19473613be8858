"""Production data by staff, warranties for anybody, and what events of other rooms change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from services.chassis.data.outbox import Event
from services.chassis.errors import ServiceError
from services.chassis.ids import new_id
from services.devices.commands import licenses, projects
from services.devices.domain.warranty import add_months, after_service_years, warranty_on
from services.devices.tests.conftest import ORDER, SEED, Company, Room, staff

HANDSET = "00077-0391552-8"


def refusal(call: Callable[..., Any], *arguments: Any, **request: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        call(*arguments, **request)
    return caught.value


def built(*ids: str, **changes: Any) -> list[dict[str, Any]]:
    return [{"hardware_id": key, "type": "IP52", "shipped_on": "2026-01-31", **changes} for key in ids]


def test_an_order_is_registered_once_and_the_same_again_answers_the_same(empty_room: Room) -> None:
    room = empty_room
    request = {"order_number": "a-1", "devices": built("000770391552", "082020")}
    rehearsed = room.register_production(staff(), **request, dry_run=True)
    assert not room.events()
    answer = room.register_production(staff(), **request)
    assert answer == rehearsed
    assert [item["hardware_id"] for item in answer["items"]] == ["00-90-33-08-20-20", HANDSET]
    assert room.register_production(staff(), order_number="A-1 ", devices=built("00-90-33-08-20-20", HANDSET)) == answer
    events = room.events()
    assert [event["hardwareid"] for event in events] == [HANDSET, "00-90-33-08-20-20"]
    assert all("companyid" not in event for event in events)


def test_another_list_under_the_number_or_a_device_of_another_order_is_refused(room: Room) -> None:
    error = refusal(room.register_production, staff(), order_number=ORDER, devices=built("082020"))
    assert (error.code, error.status) == ("devices.order_changed", 409)
    error = refusal(room.register_production, staff(), order_number="4712", devices=built("082099", "082020"))
    assert (error.code, error.status) == ("devices.in_other_order", 409)
    assert error.extra == {"hardware_ids": ["00-90-33-08-20-20"]}
    assert refusal(room.check_warranty, staff(), hardware_id="082099").code == "devices.not_found"
    assert not room.events()


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"devices": built("nonsense")}, "devices.malformed_id", "/devices/0/hardware_id"),
        ({"devices": built("082099", "00:90:33:08:20:99")}, "devices.repeated_in_request", "/devices/1/hardware_id"),
        ({"devices": built("00013EFFFFFF")}, "devices.malformed_id", "/devices/0/hardware_id"),
        ({"order_number": "?"}, "devices.malformed_order_number", "/order_number"),
        ({"order_number": "0" * 64}, "devices.malformed_order_number", "/order_number"),
        ({"devices": built("082099", shipped_on="soon")}, "request.invalid", "/devices/0/shipped_on"),
        ({"devices": built("082099", warranty_months=-1)}, "request.invalid", "/devices/0/warranty_months"),
        ({"devices": built("082099", colour="red")}, "request.invalid", "/devices/0/colour"),
        ({"devices": "all"}, "request.invalid", "/devices"),
    ],
)
def test_a_wrong_order_names_the_field(room: Room, changes: dict[str, Any], code: str, pointer: str) -> None:
    request = {"order_number": "4712", "devices": built("082099"), **changes}
    error = refusal(room.register_production, staff(), **request)
    assert (error.code, error.status, error.extra["errors"][0]["pointer"]) == (code, 422, pointer)
    assert not room.events()


def test_only_staff_register(room: Room, reseller: Company) -> None:
    error = refusal(room.register_production, reseller.call(), order_number="4712", devices=built("082099"))
    assert error.code == "accounts.staff_needed"


def test_anybody_may_check_a_warranty_and_the_holder_is_told_but_neither_learns_of_the_other(
    room: Room, reseller: Company, customer: Company
) -> None:
    room.add_devices(customer.call(), project_id=customer.project, hardware_ids=["082020"])
    room.clear_events()
    answer = room.check_warranty(reseller.call(), hardware_id="00:90:33:08:20:20")
    assert set(answer) == {"hardware_id", "type", "warranty", "ssa_ends_on", "rma"}
    assert customer.id not in str(answer)
    mine, theirs = room.events()
    assert (mine["type"], mine["companyid"], "deviceid" in mine) == ("warranty_checked", reseller.id, False)
    assert (theirs["type"], theirs["companyid"]) == ("warranty_checked_elsewhere", customer.id)
    for secret in (reseller.id, reseller.user, mine["requestid"]):
        assert secret not in str(theirs)
    room.clear_events()
    room.check_warranty(customer.call(), hardware_id="082020")
    assert not room.events()


def test_warranty_checks_are_counted_per_device(empty_room: Room) -> None:
    room = empty_room
    ids = [f"00-90-33-00-00-{number:02X}" for number in range(30)]
    room.register_production(staff(), order_number="A", devices=built(*ids))
    curious = room.company()
    for key in [*ids, *ids]:
        room.check_warranty(curious.call(), hardware_id=key)
    for number in range(30):
        assert refusal(room.check_warranty, curious.call(), hardware_id=f"FF00{number:02X}").code == "devices.not_found"
    error = refusal(room.check_warranty, curious.call(), hardware_id="FFFFFF")
    assert (error.code, error.status) == ("devices.throttled", 429)
    assert room.check_warranty(curious.call(), hardware_id=ids[0])["type"] == "IP52"
    assert refusal(room.check_warranty, curious.call(), hardware_id="no").code == "devices.malformed_id"


def event(type_name: str, **attributes: Any) -> Event:
    values: dict[str, Any] = {
        "id": new_id(),
        "source": "other",
        "type": type_name,
        "time": datetime(2026, 6, 1, tzinfo=UTC),
        "subject": new_id(),
        "sequence": 1,
        "data": {},
    }
    return Event(**{**values, **attributes})


def test_events_of_projects_keep_the_copies(room: Room, reseller: Company) -> None:
    def tell(type_name: str, **data: Any) -> None:
        told = event(type_name, subject=reseller.project, companyid=reseller.id, data=data)
        room.database.write(lambda unit: projects.apply_projects_events(unit, [told, event("something_new")]))

    data = {"project_id": reseller.project, "name": "DEFAULT"}
    tell("project_created", **data, state="open")
    # From now on nobody has to be asked about an own project.
    del room.projects.projects[reseller.project]
    added = room.add_devices(reseller.call(), project_id=reseller.project, hardware_ids=["082020"])
    assert added["summary"] == {"added": 1}
    for type_name, state, code in (
        ("project_changed", "archived", "devices.project_closed"),
        ("project_deleted", "deleted", "projects.not_found"),
    ):
        tell(type_name, **data, state=state)
        error = refusal(room.add_devices, reseller.call(), project_id=reseller.project, hardware_ids=["082021"])
        assert error.code == code
    assert refusal(room.move_devices, reseller.call(), device_ids=[new_id()], project_id=reseller.project).status == 404


def test_years_on_a_device_lengthen_its_dates(room: Room, reseller: Company) -> None:
    def tell(type_name: str, **years: int) -> None:
        lines = [{"license_type": f"{name}-year", "quantity": count, "name": ""} for name, count in years.items()]
        told = event(type_name, hardwareid="00-90-33-08-20-20", data={"licenses": lines})
        room.database.write(lambda unit: licenses.apply_license_events(unit, [told, event("order_entered")]))

    tell("licenses_assigned", warranty=2, ssa=1)
    answer = room.check_warranty(reseller.call(), hardware_id="082020")
    assert (answer["warranty"]["ends_on"], answer["warranty"]["extension_months"]) == ("2029-03-01", 24)
    assert answer["ssa_ends_on"] == "2027-06-01"
    tell("licenses_taken_back", warranty=1, ssa=1)
    answer = room.check_warranty(reseller.call(), hardware_id="082020")
    assert (answer["warranty"]["ends_on"], answer["ssa_ends_on"]) == ("2028-03-01", None)
    tell("licenses_assigned", pbx7=1)
    assert room.check_warranty(reseller.call(), hardware_id="082020") == answer


def test_dates_of_warranty_and_service() -> None:
    assert add_months(date(2024, 2, 29), 12) == date(2025, 2, 28)
    assert add_months(date(2026, 1, 31), 1) == date(2026, 2, 28)
    assert add_months(date(2026, 12, 31), -12) == date(2025, 12, 31)
    last_day = warranty_on(date(2027, 3, 1), date(2026, 3, 1), 12, 0)
    assert (last_day.state, last_day.ends_on) == ("running", date(2027, 3, 1))
    assert warranty_on(date(2027, 3, 2), date(2026, 3, 1), 12, 0).state == "ended"
    assert warranty_on(date(2027, 3, 2), None, 12, 0).state == "unknown"
    today = date(2026, 6, 1)
    assert after_service_years(today, date(2026, 7, 1), 1) == date(2027, 7, 1)
    assert after_service_years(today, date(2020, 7, 1), 1) == date(2027, 6, 1)
    assert after_service_years(today, None, -1) is None


def test_the_seeds_devices_are_there(room: Room, reseller: Company) -> None:
    listed = room.list_order_devices(reseller.call(), number=ORDER)
    assert {item["hardware_id"]: item["type"] for item in listed["items"]} == SEED
