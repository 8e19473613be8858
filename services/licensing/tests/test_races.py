"""Many at once: one key has one winner, a stock is spent exactly, opposite orders come to an end (L3, L7)."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from services.chassis.errors import ServiceError
from services.chassis.ids import new_id
from services.licensing.commands.guesses import MOST_PER_COMPANY, MOST_PER_USER
from services.licensing.domain.activation_keys import new_key
from services.licensing.tests.things import Thing
from services.licensing.tests.world import World

RETRIES = 40


def at_once(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run works in parallel; returns their answers, or for refusals their codes. What is unknown is repeated as is."""
    outcomes: list[Any] = [None] * len(works)
    barrier = threading.Barrier(len(works))

    def run(place: int, work: Callable[[], Any]) -> None:
        barrier.wait(30)
        for _ in range(RETRIES):
            try:
                outcomes[place] = work()
            except ServiceError as refusal:
                outcomes[place] = refusal.code
                if refusal.kind == "unavailable" or refusal.code == "idempotency.in_progress":
                    continue
            return

    threads = [threading.Thread(target=run, args=(place, work)) for place, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return outcomes


def activation(world: World, key: str) -> Callable[[], Any]:
    call = world.admin()
    return lambda: world.ask("activate_key", call, project_id=world.home, key=key)["id"]


def assignment(world: World, device: str, quantity: int, **more: Any) -> Callable[[], Any]:
    call = world.admin()
    return lambda: bool(world.assign(device, {"port8": quantity}, call, **more))


def test_64_redemptions_of_one_key_have_one_winner(world: World) -> None:
    key = world.order_key({"port8": 20})
    outcomes = at_once([activation(world, key) for _ in range(64)])
    codes = Counter("won" if code != "licensing.key_used" else code for code in outcomes)
    assert codes == {"won": 1, "licensing.key_used": 63}
    assert world.balance() == {"port8": 20}
    assert [name for name, _ in world.events()].count("activation_key_redeemed") == 1
    world.check()


def test_1500_asked_of_1000_grants_exactly_1000(world: World) -> None:
    world.stock({"port8": 1000})
    devices = [world.device() for _ in range(25)]
    world.projects.projects[world.home]["name"] = "Hot"
    works = [assignment(world, devices[place % 25], 15) for place in range(100)]
    outcomes = Counter(at_once(works))
    assert outcomes == {True: 66, "licensing.insufficient_balance": 34}
    assert world.balance() == {"port8": 10}
    world.assign(devices[0], {"port8": 10})
    assert world.balance() == {}
    world.check()


def test_the_same_command_20_times_at_once_has_one_effect_and_one_answer(world: World) -> None:
    world.stock({"port8": 100})
    device, command_id = world.device(), new_id()
    works = [lambda: world.assign(device, {"port8": 7}, world.admin(command_id)) for _ in range(20)]
    outcomes = at_once(works)
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert world.balance() == {"port8": 93}
    world.check()


def test_one_device_never_gets_more_than_its_maximum(world: World) -> None:
    world.stock({"channels7": 500})
    device = world.device("IP800")
    call = [world.admin() for _ in range(12)]
    outcomes = Counter(
        at_once([lambda c=c: bool(world.assign(device, {"channels7": 3}, c)) for c in call])  # type: ignore[misc]
    )
    assert outcomes == {True: 3, "licensing.rule_violated": 9}
    assert world.installed(device) == {"channels7": 9}
    world.check()


def test_spends_from_two_projects_in_opposite_order_all_end(world: World) -> None:
    other = world.project("Other")
    world.stock({"port8": 200, "fax8": 200})
    world.stock({"port8": 200, "fax8": 200}, other)
    here, there = [world.device() for _ in range(8)], [world.device(project=other) for _ in range(8)]
    works = []
    for device, source in [(d, other) for d in here] + [(d, world.home) for d in there]:
        call = world.admin()
        licenses = {"port8": 25, "fax8": 25} if source == other else {"fax8": 25, "port8": 25}
        works.append(partial(world.assign, device, licenses, call, sources=[source]))
    assert all(isinstance(outcome, dict) for outcome in at_once(works))
    assert world.balance() == {}
    world.check()


def test_taking_back_and_returning_the_same_line_at_once_credits_once(world: World) -> None:
    world.stock({"port8": 100})
    for _ in range(5):
        device = world.device()
        thing = Thing(world, device)
        line = world.assign(device, {"port8": 10})["licenses"][0]["id"]
        file: dict[str, Any] = {}

        def give_up(call: Any, thing: Thing = thing, file: dict[str, Any] = file) -> str:
            file.update(thing.file())
            thing.give_up(file, call)
            return "returned"

        works: list[Callable[[], Any]] = [
            partial(world.ask, "take_back", world.admin(), device_id=device, line_id=line) for _ in range(2)
        ]
        works += [partial(give_up, world.admin()) for _ in range(2)]
        outcomes = at_once(works)
        assert sum(1 for outcome in outcomes if isinstance(outcome, dict) or outcome == "returned") == 1, outcomes
        assert world.balance() == {"port8": 100}
    world.check()


def test_one_file_is_given_back_once_however_many_returns_of_it_are_signed(world: World) -> None:
    world.stock({"port8": 10})
    thing = Thing(world, world.device())
    world.assign(thing.device_id, {"port8": 10})
    file = thing.file()
    works = [partial(world.ask, "return_licenses", world.admin(), xml=thing.write_return(file)) for _ in range(8)]
    outcomes = at_once(works)
    assert sum(isinstance(outcome, dict) for outcome in outcomes) == 1, outcomes
    assert {outcome for outcome in outcomes if isinstance(outcome, str)} == {"licensing.already_returned"}
    assert world.balance() == {"port8": 10}
    world.check()


def test_a_return_races_with_the_revocation_of_the_key_that_signed_it(world: World) -> None:
    world.stock({"port8": 50})
    for _ in range(5):
        thing = Thing(world, world.device())
        world.assign(thing.device_id, {"port8": 10})
        returning = partial(world.ask, "return_licenses", world.admin(), xml=thing.write_return(thing.file()))
        revoking = partial(world.ask, "revoke_certificate", world.staff(), serial=thing.certificate_serial)
        returned, revoked = at_once([returning, revoking])
        assert isinstance(revoked, dict)
        left = world.installed(thing.device_id)
        assert left == {} if isinstance(returned, dict) else left == {"port8": 10}
        world.check()


def test_keys_guessed_at_once_are_told_no_more_than_the_limit(world: World) -> None:
    """Issue 6.2: counts were read before and written after the look-up, so that a volley got past the limit."""
    redeem = activation(world, world.order_key({"port8": 1}))
    first = redeem()
    works = [
        partial(world.ask, "activate_key", world.admin(), project_id=world.home, key=new_key(), dry_run=place % 3 == 0)
        for place in range(24)
    ]
    told = Counter(at_once(works))
    assert told == {"licensing.key_unknown": MOST_PER_USER, "licensing.too_many_keys_tried": 24 - MOST_PER_USER}
    # Colleagues take what is left of the company's limit, all at once.
    colleagues = [partial(world.admin, user=new_id()) for _ in range(4)]
    works = [
        partial(world.ask, "activate_key", caller(), project_id=world.home, key=new_key())
        for caller in colleagues
        for _ in range(8)
    ]
    told = Counter(at_once(works))
    assert told["licensing.key_unknown"] == MOST_PER_COMPANY - MOST_PER_USER, told
    # Who is at the limit is refused a right key too, and still gets the answer of before for the same request.
    assert at_once([activation(world, world.order_key({"port8": 1}))]) == ["licensing.too_many_keys_tried"]
    assert redeem() == first
    world.check()


def test_right_keys_at_once_are_no_guesses(world: World) -> None:
    keys = [world.order_key({"port8": 1}) for _ in range(16)]
    outcomes = at_once([activation(world, key) for key in keys])
    assert len({*outcomes}) == 16 and world.balance() == {"port8": 16}, outcomes
