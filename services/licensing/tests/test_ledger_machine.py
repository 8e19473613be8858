"""A state machine over the ledger against a plain dictionary: whatever is done or cut short, it adds up."""

from __future__ import annotations

import secrets
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from deploy.bare.postgresql import Server
from services.chassis.data.testing import make_database
from services.chassis.errors import ServiceError
from services.chassis.faults import InjectedFault, set_fail_points
from services.chassis.ids import new_id
from services.licensing.tests.things import Thing
from services.licensing.tests.world import World

TYPES = ("port8", "fax8", "channels7", "warranty-year")
MAXIMA = {"port8": 2000, "fax8": 2000, "channels7": 60, "warranty-year": 4}
contents = st.dictionaries(st.sampled_from(TYPES), st.integers(1, 40), min_size=1, max_size=3)
SIGNED = ("port8", "fax8")
RETURNABLE = SIGNED
REFUSED_RETURNS = {
    "licensing.already_returned",
    "licensing.not_returnable",
    "licensing.return_certificate_revoked",
    "licensing.return_certificate_superseded",
    "licensing.return_file_void",
    "licensing.return_newer_file",
    "licensing.return_not_encrypted",
    "licensing.return_other_certificate",
}
crashes = st.sampled_from(["", "", "", "db.before_commit=raise", "db.after_commit=raise"])


class LedgerMachine(RuleBasedStateMachine):
    """Real commands over a real database on one side, counters on the other."""

    audited_steps = 5
    keys: Bundle[str] = Bundle("keys")
    lines: Bundle[tuple[int, str]] = Bundle("lines")
    files: Bundle[tuple[int, dict[str, Any]]] = Bundle("files")
    calls: Bundle[tuple[str, str, dict[str, Any], Any]] = Bundle("calls")

    @initialize()
    def open_database(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.world = World(make_database("licensing", self.address(), Path(self.folder.name)))
        self.projects = [self.world.home, self.world.project("Second"), self.world.project("Third")]
        start = {"port8": 25, "fax8": 25, "channels7": 20, "warranty-year": 2}
        for project in self.projects:
            self.world.stock(start, project)
        self.devices = [self.world.device(project=self.projects[n % 2]) for n in range(3)]
        self.things = [Thing(self.world, device) for device in self.devices]
        self.counters = [0 for _ in self.devices]
        self.returned: set[str] = set()
        self.where = [self.projects[n % 2] for n in range(3)]
        self.steps = 0
        self.stock: dict[str, Counter[str]] = {project: Counter(start) for project in self.projects}
        self.on_device: list[Counter[str]] = [Counter() for _ in self.devices]
        self.key_contents: dict[str, dict[str, int]] = {}
        self.used: set[str] = set()
        self.line_facts: dict[str, dict[str, Any]] = {}

    def address(self) -> str:
        """Return where the database of this run is."""
        return f"sqlite:///{Path(self.folder.name) / 'ledger.sqlite'}"

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
            self.line_facts[line["id"]] = {"type": license_type, "n": line["quantity"], "paid": paid, "filed": ""}
            self.line_facts[line["id"]]["device"] = device
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

    @rule(target=files, device=st.integers(0, 2), encrypted=st.sampled_from([True, True, True, False]), crash=crashes)
    def issue_a_file(self, device: int, encrypted: bool, crash: str) -> Any:
        body = {"device_id": self.devices[device], "version": 8, "encrypted": encrypted}
        body["confirm_no_return"] = not encrypted
        outcome, _ = self.run("issue_license_file", crash, new_id(), **body)
        signed = [f for f in self.line_facts.values() if f["device"] == device and f["type"] in SIGNED]
        if not signed:
            assert outcome == "licensing.nothing_to_issue"
            return multiple()
        for facts in signed:
            facts["filed"] = "plain" if not encrypted else facts["filed"] or "encrypted"
        assert outcome["counter"] >= self.counters[device]
        self.counters[device] = outcome["counter"]
        return device, outcome

    @rule(target=calls, file=files, crash=crashes)
    def give_a_file_back(self, file: tuple[int, dict[str, Any]], crash: str) -> Any:
        """Whether a file may still be returned the database says; what is credited then, the model."""
        device, issued = file
        command_id, body = new_id(), {"xml": self.things[device].write_return(issued)}
        outcome, _ = self.run("return_licenses", crash, command_id, **body)
        if isinstance(outcome, str):
            assert outcome in REFUSED_RETURNS
        else:
            event("a file was given back")
            assert issued["serial"] not in self.returned
            self.returned.add(issued["serial"])
            gone: Counter[str] = Counter()
            mine = [(name, facts) for name, facts in self.line_facts.items() if facts["device"] == device]
            for line_id, facts in mine:
                if facts["filed"] == "encrypted" and facts["type"] in RETURNABLE:
                    gone[facts["type"]] += facts["n"]
                    del self.line_facts[line_id]
            assert gone == {line["license_type"]: line["quantity"] for line in outcome["returned"]}
            self.on_device[device].subtract(gone)
            self.stock[self.where[device]].update(gone)
        return "return_licenses", command_id, body, outcome

    @rule(device=st.integers(0, 2))
    def take_the_key_s_word_away(self, device: int) -> None:
        """Revoke the certificate and certify a new key: returns of files for the old one are refused from now on."""
        thing = self.things[device]
        self.world.ask("revoke_certificate", self.world.staff(), serial=thing.certificate_serial)
        thing.certify()

    @rule(call=calls)
    def replay(self, call: tuple[str, str, dict[str, Any], Any]) -> None:
        name, command_id, body, outcome = call
        assert self.run(name, "", command_id, **body)[0] == outcome

    @rule(call=calls)
    def replay_with_a_changed_body(self, call: tuple[str, str, dict[str, Any], Any]) -> None:
        name, command_id, body, _ = call
        changed = {**body, "comment": "changed"} if name == "activate_key" else {**body, "line_id": new_id()}
        if name == "return_licenses":
            return
        assert self.run(name, "", command_id, **changed)[0] == "idempotency.key_reused"

    @invariant()
    def balances_are_the_model_s(self) -> None:
        if not hasattr(self, "world"):
            return
        for project, stock in self.stock.items():
            assert self.world.balance(project) == {t: n for t, n in stock.items() if n}
        for device, licenses in zip(self.devices, self.on_device, strict=True):
            assert self.world.installed(device) == {t: n for t, n in licenses.items() if n}
        # What the auditor finds stays wrong, and the end looks in any case: looking at each step took half of the time.
        self.steps += 1
        if self.steps % self.audited_steps == 0:
            self.world.check()


QUICK = settings(max_examples=12, stateful_step_count=40, deadline=None)
FULL = settings(max_examples=300, stateful_step_count=50, deadline=None)


class AuditedEachStep(LedgerMachine):
    """For the long runs, which have the time."""

    audited_steps = 1


def machine_on(server: Server, machine: type[LedgerMachine] = LedgerMachine) -> type[LedgerMachine]:
    """Return the machine over PostgreSQL, a database for each run."""

    class OnPostgreSQL(machine):  # type: ignore[misc, valid-type]
        name = ""

        def address(self) -> str:
            self.name = f"machine_{secrets.token_hex(6)}"
            return server.create_database(self.name)

        def teardown(self) -> None:
            super().teardown()
            if self.name:
                server.drop_database(self.name)

    return OnPostgreSQL


@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
class TestLedger:
    """12 runs of 40 steps on SQLite and 4 on PostgreSQL; 300 of 50 on each with `make faults`."""

    def test_on_sqlite(self) -> None:
        run_state_machine_as_test(LedgerMachine, settings=QUICK)

    def test_on_postgresql(self, postgresql: Server) -> None:
        run_state_machine_as_test(machine_on(postgresql), settings=settings(QUICK, max_examples=4))

    @pytest.mark.long
    def test_long_on_sqlite(self) -> None:
        run_state_machine_as_test(AuditedEachStep, settings=FULL)

    @pytest.mark.long
    def test_long_on_postgresql(self, postgresql: Server) -> None:
        run_state_machine_as_test(machine_on(postgresql, AuditedEachStep), settings=FULL)
