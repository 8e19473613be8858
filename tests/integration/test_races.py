"""Parallel requests over HTTP: one winner, exact sums, one answer; and what is refused leaves no trace."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.integration.http_client import Answer, Person
from tests.integration.installation import Installation

IP6000 = "IP6000"


def in_parallel(count: int, work: Callable[[int], Answer]) -> list[Answer]:
    """Run work `count` times, all started by one barrier, and return the answers."""
    barrier = threading.Barrier(count)
    answers: list[Answer | None] = [None] * count

    def run(number: int) -> None:
        barrier.wait(30)
        answers[number] = work(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    found = [answer for answer in answers if answer is not None]
    assert len(found) == count, "a client ended without an answer"
    return found


def repeat_while_busy(send: Callable[[], Answer]) -> Answer:
    """Send again what was answered with 503, as the contract asks for."""
    for _ in range(50):
        answer = send()
        if answer.status != 503:
            return answer
    return answer


class Company:
    """The demo company with orders of its own."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.staff, self.admin = installation.staff(), installation.admin()
        self.project = self.admin.get("/v1/projects").expect(200)["items"][0]["id"]

    def order(self, licenses: dict[str, int], macs: list[str] | None = None) -> dict[str, Any]:
        """Enter an order and return it with its key."""
        body = {
            "number": f"race-{uuid.uuid4().hex[:12]}",
            "devices": [{"hardware_id": mac, "type": IP6000, "shipped_on": "2026-11-02"} for mac in macs or []],
            "licenses": [{"license_type": name, "quantity": quantity} for name, quantity in licenses.items()],
        }
        order: dict[str, Any] = self.staff.post("/v1/staff/orders", body).expect(201)
        return order

    def balance(self, license_type: str) -> int:
        """Return the balance of one license type over all own projects."""
        items = self.admin.get("/v1/balance").expect(200)["items"]
        return sum(item["quantity"] for item in items if item["license_type"] == license_type)

    def clone(self) -> Person:
        """Return the admin with connections of its own."""
        person = self.installation.person()
        person.use(self.admin.tokens)
        return person


@pytest.fixture(scope="module")
def company(installation: Installation) -> Company:
    return Company(installation)


def _mac(suffix: int) -> str:
    text = f"{0x900000 + suffix:06X}"
    return f"00-90-33-{text[:2]}-{text[2:4]}-{text[4:]}"


def test_64_redemptions_of_one_key_have_one_winner(company: Company) -> None:
    key = company.order({"operators7": 7})["activation_key"]
    before = company.balance("operators7")
    people = [company.clone() for _ in range(64)]
    body = {"project_id": company.project, "key": key}
    answers = in_parallel(64, lambda n: repeat_while_busy(lambda: people[n].post("/v1/activations", body)))
    found = Counter((answer.status, None if answer.status == 201 else answer.body["code"]) for answer in answers)
    assert found == {(201, None): 1, (409, "licensing.key_used"): 63}
    assert company.balance("operators7") == before + 7


def test_100_clients_ask_1500_of_1000_and_exactly_1000_are_granted(company: Company) -> None:
    macs = [_mac(0x1000 + n) for n in range(100)]
    order = company.order({"softwarephones7": 1000, "pbx7-100": 100}, macs)
    company.admin.post("/v1/activations", {"project_id": company.project, "key": order["activation_key"]}).expect(201)
    devices: list[str] = []
    for start in (0, 50):
        body = {"project_id": company.project, "hardware_ids": macs[start : start + 50]}
        added = company.admin.post("/v1/devices", body).expect(200)
        devices += [item["device_id"] for item in added["items"]]
    for device in devices:
        body = {"licenses": [{"license_type": "pbx7-100", "quantity": 1}]}
        company.admin.post(f"/v1/devices/{device}/licenses", body).expect(201)
    assert company.balance("softwarephones7") == 1000
    people = [company.clone() for _ in range(100)]
    body = {"licenses": [{"license_type": "softwarephones7", "quantity": 1}]}

    def ask(number: int) -> list[Answer]:
        path = f"/v1/devices/{devices[number]}/licenses"
        answers = []
        for _ in range(15):
            key = str(uuid.uuid4())
            answers.append(repeat_while_busy(partial(people[number].post, path, body, key=key)))
        return answers

    answers: list[Answer] = []
    lock = threading.Lock()

    def work(number: int) -> Answer:
        own = ask(number)
        with lock:
            answers.extend(own)
        return own[-1]

    in_parallel(100, work)
    found = Counter((answer.status, None if answer.status == 201 else answer.body["code"]) for answer in answers)
    assert found == {(201, None): 1000, (409, "licensing.insufficient_balance"): 500}
    assert company.balance("softwarephones7") == 0


def test_the_same_key_20_times_in_parallel_has_one_effect_and_one_answer(company: Company) -> None:
    mac = _mac(0x2000)
    order = company.order({"pbx7-10": 5, "registrations7": 100}, [mac])
    company.admin.post("/v1/activations", {"project_id": company.project, "key": order["activation_key"]}).expect(201)
    added = company.admin.post("/v1/devices", {"project_id": company.project, "hardware_ids": [mac]}).expect(200)
    path = f"/v1/devices/{added['items'][0]['device_id']}/licenses"
    before = company.balance("registrations7")
    people = [company.clone() for _ in range(20)]
    body = {
        "licenses": [{"license_type": "pbx7-10", "quantity": 1}, {"license_type": "registrations7", "quantity": 10}]
    }
    key = str(uuid.uuid4())

    def ask(number: int) -> Answer:
        for _ in range(100):
            answer = people[number].post(path, body, key=key)
            if answer.status != 503 and not (answer.status == 409 and answer.body["code"] == "idempotency.in_progress"):
                return answer
        return answer

    answers = in_parallel(20, ask)
    assert {answer.status for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers].count("true") == 19
    assert company.balance("registrations7") == before - 10


def test_the_audit_is_clean_after_the_races(company: Company) -> None:
    assert "clean" in company.installation.run("deploy.audit").stdout
