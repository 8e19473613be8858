"""Orders and activation keys: one key once, each refusal by its own name, nothing else happens (BAL-2, ACC-10, L7)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from services.chassis.errors import ServiceError
from services.chassis.ids import new_id
from services.licensing.models import ActivationKey, KeyAttempt
from services.licensing.tests.world import World

LICENSES = {"pbx7-100": 1, "voicemail7-100": 1, "registrations7": 60, "port8": 20}
DEVICES = [
    {"hardware_id": "00-90-33-08-20-20", "type": "IP6000", "shipped_on": "2026-03-02"},
    {"hardware_id": "009033242020", "type": "IP110", "shipped_on": "2026-03-02"},
]
LINES = [{"license_type": t, "quantity": n} for t, n in LICENSES.items()]


def refused(code: str, call: Any, *arguments: Any, **body: Any) -> ServiceError:
    """Run something that must be refused with this code; returns the refusal."""
    with pytest.raises(ServiceError) as refusal:
        call(*arguments, **body)
    assert refusal.value.code == code
    return refusal.value


def order(world: World, call: Any = None, **changes: Any) -> dict[str, Any]:
    body = {"number": "4711", "devices": DEVICES, "licenses": LINES, **changes}
    return world.ask("enter_order", call or world.staff(), **body)


def activate(world: World, key: str, call: Any = None, **more: Any) -> dict[str, Any]:
    return world.ask("activate_key", call or world.admin(), **{"project_id": world.home, "key": key, **more})


def test_an_order_makes_devices_and_a_key(world: World) -> None:
    answer = order(world, customer_name="Acme")
    assert len(answer["activation_key"]) == 29
    assert answer["state"] == "done"
    assert [line["name"] for line in answer["licenses"]] == ["PBX7#100", "Voicemail7#100", "Registrations7", "PORT8"]
    assert set(world.devices.built) == {"00-90-33-08-20-20", "00-90-33-24-20-20"}
    assert world.events() == [("order_entered", None)]
    shown = world.ask("get_order", world.staff(), number="4711")
    assert shown == {**answer, "activation_key": None}
    assert world.ask("list_orders", world.staff())["items"] == [shown]
    world.check()


def test_the_same_order_again_gets_the_same_answer_another_one_does_not(world: World) -> None:
    first = order(world)
    assert order(world) == first
    assert order(world, number=" 4711 ") == first
    refused("licensing.order_exists", order, world, licenses=LINES[:1])
    refused("licensing.order_exists", order, world, customer_name="Other")
    assert world.events() == [("order_entered", None)]
    assert len(world.ask("list_orders", world.staff())["items"]) == 1
    world.check()


def test_a_reused_command_id_is_told_before_anything_happens(world: World) -> None:
    call = world.staff("same")
    order(world, call)
    staff = world.staff("same")
    claims = {**staff.claims, "sub": call.claims["sub"]}
    again = type(staff)(claims=claims, token="t", command_id="same", deadline=staff.deadline)
    refused("idempotency.key_reused", order, world, again, number="4712", devices=[])
    assert [item["number"] for item in world.ask("list_orders", world.staff())["items"]] == ["4711"]


def test_orders_without_devices_or_without_licenses(world: World) -> None:
    assert order(world, number="1", devices=[])["activation_key"]
    assert order(world, number="2", licenses=[])["activation_key"] is None
    refused("licensing.order_empty", order, world, number="3", devices=[], licenses=[])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"licenses": [{"license_type": "pbx9-1", "quantity": 1}]}, "licensing.license_type_unknown"),
        ({"devices": [{**DEVICES[0], "type": "IP9"}]}, "licensing.device_type_unknown"),
        ({"devices": [{**DEVICES[0], "hardware_id": "zz"}]}, "devices.malformed_id"),
        ({"devices": [DEVICES[0], {**DEVICES[0], "hardware_id": "082020"}]}, "devices.repeated_in_request"),
        ({"number": "#!"}, "devices.malformed_order_number"),
        ({"number": "0" * 64}, "devices.malformed_order_number"),
    ],
)
def test_a_wrong_order_leaves_nothing(world: World, changes: dict[str, Any], code: str) -> None:
    refusal = refused(code, order, world, **changes)
    assert refusal.status == 422
    assert refusal.extra["errors"][0]["pointer"].startswith("/")
    assert world.events() == []
    assert world.ask("list_orders", world.staff())["items"] == []
    assert world.devices.built == {}


def test_only_staff_enters_and_sees_orders(world: World) -> None:
    refused("accounts.staff_needed", order, world, world.admin())
    refused("accounts.staff_needed", world.ask, "list_orders", world.admin())
    refused("accounts.staff_needed", world.ask, "get_order", world.admin(), number="4711")
    refused("licensing.order_not_found", world.ask, "get_order", world.staff(), number="4711")
    refused("licensing.order_not_found", world.ask, "get_order", world.staff(), number="#!")


def test_an_order_that_devices_refuses_is_forgotten(world: World) -> None:
    order(world, number="1")
    refused("devices.in_other_order", order, world, number="2")
    assert [item["number"] for item in world.ask("list_orders", world.staff())["items"]] == ["1"]
    assert order(world, number="2", devices=[])["state"] == "done"


def test_an_order_that_was_cut_short_is_finished_by_entering_it_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = world.devices.register_production

    def lost(*arguments: Any, **more: Any) -> Any:
        register(*arguments, **more)
        raise ServiceError("unavailable", "service.unavailable")

    monkeypatch.setattr(type(world.devices), "register_production", lambda self, *a, **k: lost(*a, **k))
    refused("service.unavailable", order, world)
    monkeypatch.undo()
    assert world.ask("get_order", world.staff(), number="4711")["state"] == "entered"
    assert order(world)["activation_key"]
    assert world.events() == [("order_entered", None)]
    world.check()


def test_a_key_is_rehearsed_added_and_listed(world: World) -> None:
    world.accounts.users[world.user] = "Ada Byron"
    key = order(world)["activation_key"]
    rehearsed = activate(world, key, dry_run=True)
    assert rehearsed["id"] is None
    assert world.balance() == {}
    added = activate(world, key.lower().replace("-", " "), comment="first delivery")
    assert added["licenses"] == rehearsed["licenses"]
    assert {line["license_type"]: line["quantity"] for line in added["licenses"]} == LICENSES
    assert world.balance() == LICENSES
    (item,) = world.ask("list_activations", world.admin())["items"]
    assert item["id"] == added["id"]
    assert item["key"] == f"*****-*****-*****-*****-{key[-5:]}"
    assert item["comment"] == "first delivery"
    assert item["added_by"] == {"id": world.user, "name": "Ada Byron"}
    assert item["project"] == {"id": world.home, "name": "Home"}
    assert world.events() == [("order_entered", None), ("activation_key_redeemed", world.company)]
    assert world.ask("get_order", world.staff(), number="4711")["activation_key_state"] == "used"
    world.check()


def test_the_same_command_again_is_answered_the_same(world: World) -> None:
    key = order(world)["activation_key"]
    first = activate(world, key, world.admin("c1"))
    assert activate(world, key, world.admin("c1")) == first
    refused("idempotency.key_reused", activate, world, key, world.admin("c1"), comment="other")
    assert world.balance() == LICENSES
    world.check()


def test_refusals_of_keys_each_have_their_name(world: World) -> None:
    key = order(world)["activation_key"]
    assert refused("licensing.key_mistyped", activate, world, key[:-1] + ("0" if key[-1] != "0" else "1")).status == 422
    other = World(world.database)
    unknown = "00000-00000-00000-00000-00001"
    assert refused("licensing.key_unknown", activate, world, unknown).status == 404
    activate(world, key)
    mine = refused("licensing.key_used", activate, world, key)
    assert mine.status == 409
    assert mine.extra["project_id"] == world.home
    assert "Home" in mine.detail
    theirs = refused("licensing.key_used", activate, other, key)
    assert theirs.extra == {}
    assert "Home" not in theirs.detail
    assert other.balance() == {}


@pytest.mark.parametrize("state", ["cancelled", "expired"])
def test_a_key_that_is_no_longer_good(world: World, state: str) -> None:
    key = order(world)["activation_key"]

    def end(unit: Any) -> None:
        values = {"state": "cancelled"} if state == "cancelled" else {"expires_at": unit.now - timedelta(minutes=6)}
        unit.execute(sa.update(ActivationKey).values(**values))

    world.database.write(end)
    assert refused(f"licensing.key_{state}", activate, world, key).status == 409
    assert refused(f"licensing.key_{state}", activate, world, key, dry_run=True).status == 409
    assert world.balance() == {}
    assert [name for name, _ in world.events()] == ["order_entered"]


def test_wrong_keys_are_throttled_per_user_and_used_ones_do_not_count(world: World) -> None:
    key = order(world)["activation_key"]
    activate(world, key)
    for _ in range(12):
        refused("licensing.key_used", activate, world, key)
    for number in range(10):
        call = world.admin(f"wrong-{number}")
        refused("licensing.key_mistyped", activate, world, "nonsense", call, dry_run=number % 2 == 0)
        if number % 2:
            refused("licensing.key_mistyped", activate, world, "nonsense", world.admin(f"wrong-{number}"))
    refusal = refused("licensing.too_many_keys_tried", activate, world, "nonsense")
    assert refusal.status == 429
    assert 3500 < refusal.extra["retry_after"] <= 3600
    good = order(world, number="2", devices=[])["activation_key"]
    refused("licensing.too_many_keys_tried", activate, world, good)
    colleague = new_id()
    activate(world, good, world.admin(user=colleague))
    world.database.write(lambda unit: unit.execute(sa.update(KeyAttempt).values(at=unit.now - timedelta(minutes=61))))
    refused("licensing.key_mistyped", activate, world, "nonsense")


def test_wrong_keys_are_throttled_per_company(world: World) -> None:
    for number in range(30):
        refused("licensing.key_mistyped", activate, world, "nonsense", world.admin(user=f"user-{number // 6}"))
    refused("licensing.too_many_keys_tried", activate, world, "nonsense", world.admin(user="another"))


def test_a_wrong_key_counts_once_and_for_everybody_who_enters_one(world: World) -> None:
    def attempts() -> int:
        count = sa.select(sa.func.count()).select_from(KeyAttempt)
        return world.database.read(lambda connection: connection.execute(count).scalar_one())

    stranger = World(world.database)
    for entering in (world, stranger):
        for _ in range(3):
            refused("licensing.key_mistyped", activate, entering, "nonsense", entering.admin("same"))
    assert attempts() == 2
    # A rehearsal is never a repetition, whatever command id it comes with.
    for _ in range(2):
        refused("licensing.key_mistyped", activate, world, "nonsense", world.admin("same"), dry_run=True)
    assert attempts() == 4


def test_a_guest_may_add_a_key_a_stranger_gets_the_answer_of_an_unknown_project(world: World) -> None:
    guest = World(world.database)
    guest.projects = world.projects
    key = order(world)["activation_key"]
    stranger = refused("projects.not_found", activate, guest, key, project_id=world.home)
    nowhere = refused("projects.not_found", activate, guest, key, project_id=new_id())
    assert stranger.args == nowhere.args
    world.projects.let(world.home, guest.company)
    activate(guest, key, project_id=world.home)
    assert world.balance() == LICENSES
    assert guest.balance() == {}
    assert guest.balance(world.home) == LICENSES
    assert world.events()[1:] == [
        ("activation_key_redeemed", world.company),
        ("activation_key_redeemed", guest.company),
    ]
    assert guest.ask("list_activations", guest.admin())["items"] == []
    assert len(guest.ask("list_activations", guest.admin(), project=world.home)["items"]) == 1


def test_an_archived_project_takes_no_key(world: World) -> None:
    key = order(world)["activation_key"]
    world.projects.projects[world.home]["state"] = "archived"
    refused("projects.archived", activate, world, key)
    assert world.balance() == {}


def test_lists_are_paged_without_loss(world: World) -> None:
    added = []
    for number in range(7):
        key = order(world, number=f"N{number}", devices=[])["activation_key"]
        added.append(activate(world, key)["id"])
    for name, call, identity, expected in (
        ("list_activations", world.admin(), "id", added[::-1]),
        ("list_orders", world.staff(), "number", [f"N{number}" for number in range(6, -1, -1)]),
    ):
        seen: list[str] = []
        cursor = None
        while True:
            page = world.ask(name, call, limit=3, cursor=cursor)
            seen += [item[identity] for item in page["items"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert seen == expected
        refused("request.invalid", world.ask, name, call, cursor="nonsense")


def test_a_stolen_database_yields_no_key(world: World) -> None:
    key = order(world)["activation_key"].replace("-", "")
    with world.database.engine.connect() as connection:
        for table in sa.inspect(connection).get_table_names():
            for row in connection.exec_driver_sql(f"SELECT * FROM {table}"):
                stored = " ".join(
                    bytes(v).decode("latin1") if isinstance(v, bytes | memoryview) else str(v) for v in row
                )
                assert key not in stored.replace("-", "")
