"""A state machine over the ledger against a plain dictionary (P1): whatever is done or cut short, it adds up."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from services.chassis.errors import ServiceError
from services.chassis.faults import InjectedFault, set_fail_points
from services.chassis.ids import new_id
from services.chassis.testing import make_database
from services.licensing.commands.device_lines import return_lines
from services.licensing.store import lines as line_store
from services.licensing.tests.world import World

TYPES = ("port8", "fax8", "channels7", "warranty-year")
MAXIMA = {"port8": 2000, "fax8": 2000, "channels7": 60, "warranty-year": 4}
contents = st.dictionaries(st.sampled_from(TYPES), st.integers(1, 40), min_size=1, max_size=3)
crashes = st.sampled_from(["", "", "", "db.before_commit=raise", "db.after_commit=raise"])


class LedgerMachine(RuleBasedStateMachine):
    """Real commands over a real database on one side, counters on the other."""

    keys: Bundle[str] = Bundle("keys")
    lines: Bundle[tuple[int, str]] = Bundle("lines")
    calls: Bundle[tuple[str, str, dict[str, Any], Any]] = Bundle("calls")

    @initialize()
    def open_database(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name)
        self.world = World(make_database("licensing", f"sqlite:///{path / 'ledger.sqlite'}", path))
        self.projects = [self.world.home, self.world.project("Second"), self.world.project("Third")]
        start = {"port8": 25, "fax8": 25, "channels7": 20, "warranty-year": 2}
        for project in self.projects:
            self.world.stock(start, project)
        self.devices = [self.world.device(project=self.projects[n % 2]) for n in range(3)]
        self.where = [self.projects[n % 2] for n in range(3)]
        self.stock: dict[str, Counter[str]] = {project: Counter(start) for project in self.projects}
        self.on_device: list[Counter[str]] = [Counter() for _ in self.devices]
        self.key_contents: dict[str, dict[str, int]] = {}
        self.used: set[str] = set()
        self.line_facts: dict[str, dict[str, Any]] = {}

    def teardown(self) -> None:
        set_fail_points("")
        if hasattr(self, "world"):
            self.world.check()
            self.world.database.close()
            self.folder.cleanup()

    def run(self, name: str, crash: str, command_id: str, **body: Any) -> tuple[Any, bool]:
        """Run a command, perhaps into a crash, and repeat it as a client would; tells whether it crashed."""
        call = self.world.staff if name == "enter_order" else self.world.admin
        # The same person repeats: the scope of a staff call without a company is the person.
        caller = call(command_id)
        claims = {**caller.claims, "sub": "staff" if name == "enter_order" else self.world.user}

        def once() -> Any:
            again = type(caller)(claims=claims, token="t", command_id=command_id, deadline=caller.deadline)
            try:
                return self.world.ask(name, again, **body)
            except ServiceError as refusal:
                return refusal.code

        set_fail_points(crash)
        try:
            return once(), False
        except InjectedFault:
            set_fail_points("")
            return once(), True
        finally:
            set_fail_points("")

    @rule(target=keys, licenses=contents, crash=crashes)
    def buy(self, licenses: dict[str, int], crash: str) -> str:
        body = {
            "number": f"N{len(self.key_contents)}",
            "licenses": [{"license_type": t, "quantity": n} for t, n in licenses.items()],
        }
        answer, _ = self.run("enter_order", crash, new_id(), **body)
        key: str = answer["activation_key"]
        again, _ = self.run("enter_order", "", new_id(), **body)
        assert again["activation_key"] == key
        self.key_contents[key] = dict(licenses)
        return key

    @rule(target=calls, key=keys, project=st.integers(0, 2), crash=crashes)
    def redeem(self, key: str, project: int, crash: str) -> Any:
        command_id, target = new_id(), self.projects[project]
        body = {"project_id": target, "key": key}
        outcome, _ = self.run("activate_key", crash, command_id, **body)
        if key in self.used:
            assert outcome == "licensing.key_used"
        else:
            assert {line["license_type"]: line["quantity"] for line in outcome["licenses"]} == self.key_contents[key]
            self.used.add(key)
            self.stock[target].update(self.key_contents[key])
        return "activate_key", command_id, body, outcome

    @rule(
        target=lines,
        device=st.integers(0, 2),
        licenses=contents,
        sources=st.lists(st.integers(0, 2), min_size=1, max_size=3),
    )
    def assign(self, device: int, licenses: dict[str, int], sources: list[int]) -> Any:
        return self._assign(device, licenses, sources, "")

    @rule(target=lines, device=st.integers(0, 2), licenses=contents, crash=crashes)
    def assign_into_a_crash(self, device: int, licenses: dict[str, int], crash: str) -> Any:
        return self._assign(device, licenses, [], crash)

    def _assign(self, device: int, licenses: dict[str, int], sources: list[int], crash: str) -> Any:
        body = {
            "device_id": self.devices[device],
            "licenses": [{"license_type": t, "quantity": n} for t, n in licenses.items()],
            "sources": [self.projects[place] for place in sources],
        }
        outcome, _ = self.run("assign_licenses", crash, new_id(), **body)
        if any(self.on_device[device][t] + n > MAXIMA[t] for t, n in licenses.items()):
            assert outcome == "licensing.rule_violated"
            return multiple()
        draws = self._model_draws(device, licenses, sources)
        if draws is None:
            assert outcome == "licensing.insufficient_balance"
            return multiple()
        made = []
        for line in outcome["licenses"]:
            license_type = line["license_type"]
            paid = [(project, n) for project, t, n in draws if t == license_type]
            for project, n in paid:
                self.stock[project][license_type] -= n
            self.on_device[device][license_type] += line["quantity"]
            self.line_facts[line["id"]] = {"type": license_type, "n": line["quantity"], "paid": paid, "filed": False}
            made.append((device, line["id"]))
        return multiple(*made)

    def _model_draws(
        self, device: int, licenses: dict[str, int], sources: list[int]
    ) -> list[tuple[str, str, int]] | None:
        order = list(dict.fromkeys([self.where[device], *(self.projects[place] for place in sources)]))
        draws = []
        for license_type, quantity in licenses.items():
            for project in order:
                n = min(quantity, self.stock[project][license_type])
                quantity -= n
                draws.append((project, license_type, n))
            if quantity:
                return None
        return [draw for draw in draws if draw[2]]

    @rule(target=calls, line=lines, crash=crashes)
    def take_back(self, line: tuple[int, str], crash: str) -> Any:
        device, line_id = line
        command_id, body = new_id(), {"device_id": self.devices[device], "line_id": line_id}
        outcome, _ = self.run("take_back", crash, command_id, **body)
        facts = self.line_facts.get(line_id)
        if facts is None:
            assert outcome == "licensing.line_not_found"
        elif facts["filed"]:
            assert outcome == "licensing.file_issued"
        else:
            del self.line_facts[line_id]
            self.on_device[device][facts["type"]] -= facts["n"]
            for project, n in facts["paid"]:
                self.stock[project][facts["type"]] += n
        return "take_back", command_id, body, outcome

    @rule(line=lines)
    def put_into_a_file(self, line: tuple[int, str]) -> None:
        facts = self.line_facts.get(line[1])
        if facts is not None:
            self.world.database.write(lambda unit: line_store.latch_files(unit.connection, [line[1]], plain=False))
            facts["filed"] = True

    @rule(line=lines, project=st.integers(0, 2), crash=crashes)
    def return_to_a_project(self, line: tuple[int, str], project: int, crash: str) -> None:
        device, line_id = line
        facts = self.line_facts.get(line_id)
        if facts is None or not facts["filed"]:
            return
        target = self.projects[project]
        hardware_id = self.world.devices.records[self.devices[device]].hardware_id

        def work(unit: Any) -> int:
            returned = return_lines(
                unit,
                hardware_id,
                [line_id],
                to_project=target,
                company_id=self.world.company,
                transfer_id=f"return:{line_id}",
            )
            return len(returned)

        set_fail_points(crash)
        try:
            self.world.database.write(work)
        except InjectedFault:
            pass
        finally:
            set_fail_points("")
        self.world.database.write(work)
        assert self.world.database.write(work) == 0
        del self.line_facts[line_id]
        self.on_device[device][facts["type"]] -= facts["n"]
        self.stock[target][facts["type"]] += facts["n"]

    @rule(call=calls)
    def replay(self, call: tuple[str, str, dict[str, Any], Any]) -> None:
        name, command_id, body, outcome = call
        assert self.run(name, "", command_id, **body)[0] == outcome

    @rule(call=calls)
    def replay_with_a_changed_body(self, call: tuple[str, str, dict[str, Any], Any]) -> None:
        name, command_id, body, _ = call
        changed = {**body, "comment": "changed"} if name == "activate_key" else {**body, "line_id": new_id()}
        assert self.run(name, "", command_id, **changed)[0] == "idempotency.key_reused"

    @invariant()
    def balances_are_the_model_s(self) -> None:
        if not hasattr(self, "world"):
            return
        for project, stock in self.stock.items():
            assert self.world.balance(project) == {t: n for t, n in stock.items() if n}
        for device, licenses in zip(self.devices, self.on_device, strict=True):
            assert self.world.installed(device) == {t: n for t, n in licenses.items() if n}
        self.world.check()


LedgerMachine.TestCase.settings = settings(max_examples=12, stateful_step_count=40, deadline=None)


@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
class TestLedger(LedgerMachine.TestCase):  # type: ignore[misc, valid-type]
    """12 runs of 40 steps."""
