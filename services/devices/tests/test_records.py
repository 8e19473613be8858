"""Records of companies: who sees, changes, moves and deletes them; foreign ones do not exist for anybody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from services.chassis.data.testing import make_call
from services.chassis.errors import ServiceError
from services.chassis.ids import new_id
from services.devices.domain.actions import ACTIONS
from services.devices.tests.conftest import ORDER, SEED, Company, Room, staff


def refusal(call: Callable[..., Any], *arguments: Any, **request: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        call(*arguments, **request)
    return caught.value


@pytest.fixture
def device_id(room: Room, reseller: Company) -> str:
    """Give the reseller's IP6000."""
    answer = room.add_devices(reseller.call(), project_id=reseller.project, hardware_ids=["082020"])
    room.clear_events()
    return str(answer["items"][0]["device_id"])


def test_a_device_shows_its_data_and_what_may_be_done(room: Room, reseller: Company, device_id: str) -> None:
    shown = room.get_device(reseller.call(rights=("MOVE_LICENSES",)), device_id=device_id)
    assert shown["hardware_id"] == "00-90-33-08-20-20"
    assert (shown["type"], shown["project_id"], shown["foreign"]) == ("IP6000", reseller.project, False)
    assert shown["warranty"] == {
        "starts_on": "2026-03-01",
        "ends_on": "2027-03-01",
        "state": shown["warranty"]["state"],
        "extension_months": 0,
    }
    allowed = {action["name"]: action["allowed"] for action in shown["actions"]}
    assert allowed == {name: name != "request_certificate" for name in ACTIONS}
    assert shown["order_number"] is None


def test_a_marked_device_takes_no_licenses_and_only_staff_mark_it(
    room: Room, reseller: Company, customer: Company, device_id: str
) -> None:
    yes = [{"hardware_id": "082020", "code": "devices.in_other_company"}]
    request = {"project_id": customer.project, "hardware_ids": ["082020"], "accept_warnings": yes}
    other_id = room.add_devices(customer.call(), **request)["items"][0]["device_id"]
    room.clear_events()
    error = refusal(room.update_production_staff, reseller.call(), hardware_id="082020", rma=True)
    assert error.code == "accounts.staff_needed"
    assert not room.events()
    call = staff()
    assert room.update_production_staff(call, hardware_id="00:90:33:08:20:20", rma=True)["rma"] is True
    assert room.update_production_staff(call, hardware_id="00:90:33:08:20:20", rma=True)["rma"] is True
    assert room.update_production_staff(staff(), hardware_id="082020", rma=True)["rma"] is True
    told = [(event["type"], event.get("companyid"), event.get("deviceid")) for event in room.events()]
    assert told == [
        ("device_marked_rma", None, None),
        ("device_marked_rma", reseller.id, device_id),
        ("device_marked_rma", customer.id, other_id),
    ]
    shown = room.get_device(reseller.call(), device_id=device_id)
    reasons = {action["name"]: action.get("reason") for action in shown["actions"]}
    assert shown["rma"] is True
    assert reasons["add_licenses"] == reasons["download_licenses"] == "devices.marked_rma"
    assert reasons["delete_device"] is None
    room.update_production_staff(staff(), hardware_id="082020", rma=False)
    assert room.events()[-1]["type"] == "device_unmarked_rma"
    error = refusal(room.update_production_staff, staff(), hardware_id="FFFFFF", rma=True)
    assert (error.code, error.status) == ("devices.not_found", 404)


def test_for_strangers_a_device_does_not_exist(room: Room, customer: Company, device_id: str) -> None:
    for name, more in (
        ("get_device", {}),
        ("get_device_facts", {}),
        ("update_device", {"comment": "mine"}),
        ("delete_device", {}),
    ):
        call = getattr(room, name)
        errors = [
            refusal(call, who, device_id=asked, **more)
            for who in (customer.call(), make_call())
            for asked in (device_id, new_id(), "nonsense")
        ]
        assert {error.args for error in errors} == {errors[0].args}
        assert (errors[0].code, errors[0].status) == ("devices.device_not_found", 404)
    request = {"device_ids": [device_id], "project_id": customer.project}
    assert room.move_devices(customer.call(), **request)["items"] == [
        {
            "device_id": device_id,
            "hardware_id": None,
            "result": "refused",
            "code": "devices.device_not_found",
            "detail": errors[0].detail,
        }
    ]
    assert refusal(room.find_device, customer.call(), hardware_id="082020").code == "devices.device_not_found"
    assert not room.events()


def test_comments_change_with_a_version_and_tell_old_and_new(room: Room, reseller: Company, device_id: str) -> None:
    call = reseller.call()
    request = {"device_id": device_id, "comment": "Reception, 2nd floor", "if_version": 1}
    changed = room.update_device(call, **request)
    assert (changed["comment"], changed["license_comment"], changed["version"]) == ("Reception, 2nd floor", "", 2)
    assert room.update_device(call, **request) == changed
    error = refusal(room.update_device, reseller.call(), device_id=device_id, comment="Other", if_version=1)
    assert (error.code, error.status) == ("request.stale", 412)
    # Nothing new is nothing to tell.
    assert room.update_device(reseller.call(), device_id=device_id, comment="Reception, 2nd floor")["version"] == 2
    (event,) = room.events()
    assert event["data"]["changes"] == {"comment": {"old": "", "new": "Reception, 2nd floor"}}


def test_a_deleted_device_is_gone_for_the_company_and_can_be_added_again(
    room: Room, reseller: Company, device_id: str
) -> None:
    call = reseller.call()
    assert room.delete_device(call, device_id=device_id) == {}
    assert room.delete_device(call, device_id=device_id) == {}
    assert refusal(room.delete_device, reseller.call(), device_id=device_id).code == "devices.device_not_found"
    assert refusal(room.get_device, reseller.call(), device_id=device_id).code == "devices.device_not_found"
    assert [event["type"] for event in room.events()] == ["device_deleted"]
    answer = room.add_devices(reseller.call(), project_id=reseller.project, hardware_ids=["082020"])
    assert answer["summary"] == {"added": 1}
    assert answer["items"][0]["device_id"] != device_id


def test_a_guest_comments_but_neither_moves_nor_deletes(
    room: Room, reseller: Company, customer: Company, device_id: str
) -> None:
    room.projects.let(reseller.project, customer.id)
    guest = customer.call
    assert room.update_device(guest(), device_id=device_id, comment="Serviced")["foreign"] is True
    assert [event["companyid"] for event in room.events()] == [reseller.id]
    error = refusal(room.delete_device, guest(), device_id=device_id)
    assert (error.code, error.status, error.extra) == ("access.power_needed", 403, {"power": "manage_devices"})
    error = refusal(room.move_devices, guest(), device_ids=[device_id], project_id=reseller.project)
    assert error.code == "access.power_needed"
    refused = {a["name"] for a in room.get_device(guest(), device_id=device_id)["actions"] if not a["allowed"]}
    assert refused == {"move_licenses", "take_back_licenses", "request_certificate", "move_device", "delete_device"}
    facts = room.get_device_facts(guest(), device_id=device_id)
    assert (facts["access"], facts["company_id"], facts["held_by_others"]) == ("guest", reseller.id, False)


def test_staff_see_every_device_and_change_none(room: Room, device_id: str) -> None:
    assert room.get_device_facts(staff(), device_id=device_id)["access"] == "staff"
    assert room.find_devices(staff(), hardware_id="082020")["items"][0]["device_id"] == device_id
    assert refusal(room.update_device, staff(), device_id=device_id, comment="x").code == "access.power_needed"
    assert refusal(room.delete_device, staff(), device_id=device_id).code == "access.power_needed"


def test_devices_move_between_own_projects_with_a_result_each(room: Room, reseller: Company, device_id: str) -> None:
    second = room.projects.add(reseller.id, "Second")
    other = room.add_devices(reseller.call(), project_id=second, hardware_ids=["082021"])["items"][0]["device_id"]
    room.clear_events()
    request = {"device_ids": [device_id, other, device_id, new_id()], "project_id": second}
    rehearsed = room.move_devices(reseller.call(), **request, dry_run=True)
    assert [item["result"] for item in rehearsed["items"]] == ["ok", "error", "error", "error"]
    assert not room.events()
    answer = room.move_devices(reseller.call(), **request)
    assert [(item["result"], item["code"]) for item in answer["items"]] == [
        ("moved", None),
        ("refused", "devices.already_in_project"),
        ("refused", "devices.repeated_in_request"),
        ("refused", "devices.device_not_found"),
    ]
    (event,) = room.events()
    assert (event["type"], event["projectid"]) == ("device_moved", second)
    assert event["data"]["from_project_name"] == "DEFAULT"
    assert room.get_device(reseller.call(), device_id=device_id)["project_id"] == second


def test_devices_of_an_absorbed_company_are_own_ones(room: Room, reseller: Company, device_id: str) -> None:
    heir = make_call(company=new_id(), absorbed=(reseller.id,))
    assert room.get_device(heir, device_id=device_id)["foreign"] is False
    assert room.get_device_facts(heir, device_id=device_id)["held_by_others"] is False


def test_a_project_token_sees_its_project_only(room: Room, reseller: Company, device_id: str) -> None:
    second = room.projects.add(reseller.id, "Second")
    room.add_devices(reseller.call(), project_id=second, hardware_ids=["082021"])
    call = reseller.call()
    call = type(call)(claims={**call.claims, "project": second}, token=call.token)
    assert [item["hardware_id"] for item in room.list_devices(call)["items"]] == ["00-90-33-08-20-21"]
    assert refusal(room.get_device, call, device_id=device_id).code == "devices.device_not_found"
    assert refusal(room.list_devices, call, project=reseller.project).status == 404


@pytest.mark.parametrize("sort", ["hardware_id", "-hardware_id", "type", "-type", "added_at", "-added_at", "comment"])
def test_pages_show_every_device_once_in_order(room: Room, reseller: Company, sort: str) -> None:
    room.add_devices(reseller.call(), project_id=reseller.project, order_number=ORDER)
    seen: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = room.list_devices(reseller.call(), sort=sort, limit=3, cursor=cursor)
        seen += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
        assert refusal(room.list_devices, reseller.call(), sort="-comment", cursor=cursor).code == "request.invalid"
    assert sorted(item["hardware_id"] for item in seen) == sorted(SEED)
    values = [item[sort.lstrip("-")] for item in seen]
    assert values == sorted(values, reverse=sort.startswith("-"))


@pytest.mark.parametrize("cursor", ["x", "bm8=", "W10=", "WyJoYXJkd2FyZV9pZCIsIDEsIDJd", "\u00e4", "A" * 500])
def test_a_made_up_cursor_is_refused(room: Room, reseller: Company, cursor: str) -> None:
    error = refusal(room.list_devices, reseller.call(), cursor=cursor)
    assert (error.code, error.status) == ("request.invalid", 422)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 4),
        ("00:90:33:08", 3),
        ("0820", 3),
        ("24-20", 1),
        ("ip8", 1),
        ("Stock", 1),
        ("4711", 0),
        ("%", 0),
        ("_", 0),
        ("ip", 4),
    ],
)
def test_the_filter_finds_parts_of_id_type_and_comment(room: Room, reseller: Company, text: str, count: int) -> None:
    answer = room.add_devices(reseller.call(), project_id=reseller.project, hardware_ids=list(SEED))
    room.update_device(reseller.call(), device_id=answer["items"][0]["device_id"], license_comment="in stock")
    assert len(room.list_devices(reseller.call(), filter=text)["items"]) == count
    assert len(room.list_devices(reseller.call(), type="ip6000")["items"]) == 1


def test_the_database_keeps_a_record_with_its_projects_company(room: Room, reseller: Company, device_id: str) -> None:
    statement = sa.text("UPDATE devices SET company_id = :company WHERE id = :id")
    with pytest.raises(sa.exc.IntegrityError):
        room.database.write(lambda unit: unit.execute(statement, {"company": new_id(), "id": device_id}))
