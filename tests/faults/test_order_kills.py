"""An order whose processes are killed at each step goes on by its timer and ends completed once (L8, ACC-10).

Each step kills every process that reaches it until the request's deadline has passed, so that no redelivery of the
request can finish the order: what is left then is the timer's.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.integration.http_client import Answer, Person, eventually
from tests.integration.import_world import balance, found, macs
from tests.integration.installation import Installation

BY_REQUEST = (
    "licensing.order.entered",
    "devices.order.in_registering",
    "licensing.order.before_done",
    "licensing.order.in_done",
    "licensing.order.after_done",
)
BY_TIMER = ("licensing.order.resuming", "devices.order.in_settling", "licensing.order.in_done")
ENDS_WITHIN = 150.0
"""Seconds: an order is left after 60, looked for each 5, told to devices and back, past restarts of up to 10 each."""


class Steps:
    """A fleet whose processes can be killed where they stand, and staff that enters orders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        points = ";".join(f"{name}=kill:{folder / name}" for name in {*BY_REQUEST, *BY_TIMER})
        self.fleet = Installation("fleet", folder / "data", {"TESSERA_FAIL_POINTS": points}).start(300)
        self.staff: Person = self.fleet.staff()

    def arm(self, name: str) -> None:
        """Let every process that comes to a place be killed there."""
        (self._folder / name).touch()

    def hits(self, name: str) -> int:
        """Return how many were killed at a place that is armed."""
        return len((self._folder / name).read_text().splitlines())

    def disarm(self, name: str) -> None:
        """Let them pass again."""
        (self._folder / name).unlink()

    def enter(self, order: dict[str, Any]) -> Answer:
        """Enter an order once."""
        return self.staff.post("/v1/staff/orders", order)

    def leave_half_way(self, order: dict[str, Any], place: str) -> None:
        """Enter an order while a place kills, until the request is too old to be finished by anybody."""
        self.arm(place)
        answer = self.enter(order)
        assert answer.status in (503, 504), (place, answer.status, answer.content)
        assert self.hits(place) >= 1
        self.disarm(place)

    def is_done(self, number: str) -> bool:
        """Tell whether an order has ended completed."""
        try:
            answer = self.staff.get(f"/v1/staff/orders/{number}")
        except requests.RequestException:
            return False
        return answer.status == 200 and answer.body["state"] == "done"


def new_order() -> dict[str, Any]:
    """Return an order that nobody entered yet."""
    return {
        "number": f"KILLED-{uuid.uuid4().hex[:10].upper()}",
        "devices": [{"hardware_id": mac, "type": "IP6000", "shipped_on": "2026-11-02"} for mac in macs(2)],
        "licenses": [{"license_type": "operators7", "quantity": 3}],
    }


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Steps]:
    made = Steps(tmp_path_factory.mktemp("orders"))
    yield made
    assert made.fleet.stop() == 0


@pytest.mark.long
def test_an_order_killed_at_each_step_is_completed_once_by_its_timer(steps: Steps) -> None:
    """Issue 6.4: orders go on by a timer; a killed order stayed `entered` until somebody entered it again."""
    orders = [new_order() for _ in BY_REQUEST]
    for order, place in zip(orders, BY_REQUEST, strict=True):
        steps.leave_half_way(order, place)
    # The timer of the first orders is killed in its turn, at each of its own steps.
    for place in BY_TIMER:
        steps.arm(place)
    for place in BY_TIMER:
        eventually(lambda place=place: steps.hits(place), f"a kill at {place}", ENDS_WITHIN)  # type: ignore[misc]
        steps.disarm(place)
    for order in orders:
        eventually(lambda order=order: steps.is_done(order["number"]), f"the end of {order}", ENDS_WITHIN)  # type: ignore[misc]
    check(steps, orders)


def check(steps: Steps, orders: list[dict[str, Any]]) -> None:
    """Fail unless each order was completed once, with what stands in it."""
    buyer = found(steps.fleet, "otto", "Orders Ltd")
    project = buyer.get("/v1/projects").expect(200)["items"][0]["id"]
    for order in orders:
        # Who had no answer asks again: the same key, made once.
        entered = eventually(lambda order=order: created(steps.enter(order)), "the answer", 60)  # type: ignore[misc]
        assert steps.enter(order).expect(201)["activation_key"] == entered["activation_key"]
        body = {"project_id": project, "key": entered["activation_key"]}
        buyer.post("/v1/activations", body).expect(201)
        buyer.post("/v1/activations", body).refused(409, "licensing.key_used")
        added = buyer.post("/v1/devices", {"project_id": project, "order_number": order["number"]}).expect(200)
        assert added["summary"] == {"added": 2}
    assert balance(buyer) == {"operators7": 3 * len(orders)}

    def told() -> dict[str, int]:
        lines = steps.staff.get("/v1/history", action="order_entered", limit=200).expect(200)["items"]
        times = Counter(item["subject"] for item in lines)
        return {order["number"]: times[order["number"]] for order in orders}

    eventually(lambda: all(told().values()), "a line of each order in the history", 60)
    assert set(told().values()) == {1}
    eventually(lambda: steps.fleet.run("deploy.audit", check=False).returncode == 0, "a clean audit", 60)


def created(answer: Answer) -> Any:
    """Return the body of a success, None for an answer that has to be asked for again."""
    return answer.expect(201) if answer.status != 503 else None
