"""The worker's side: take group after group of tests until none is left, and tell the parent what came of each.

A group is what one file has for one installation; whoever claims it first runs it as a whole, so that what a module
shares is made once. Claims are files that only one process can create. A worker stays with the installation that it
has running as long as there is a group for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

_FOLDER: Final = "--claims"
_WORKER: Final = "--worker"
# What takes longest begins first, so that the workers end together: seconds that files took which start what they need
# themselves. The end of a run tells the slowest; a file that is missing here costs time and nothing else.
LONGEST: Final = {
    "tests/faults/test_kills.py": 250,
    "tests/integration/test_restored_rooms.py": 200,
    "tests/openapi/test_schemathesis.py": 170,
    "services/licensing/tests/test_ledger_machine.py": 150,
    "tests/faults/test_restore.py": 140,
    "services/accounts/tests/test_enumeration.py": 135,
    "deploy/tests/test_tampering.py": 120,
    "tests/faults/test_import_kills.py": 115,
    "services/chassis/tests/test_broker_faults.py": 105,
    "deploy/tests/test_run.py": 100,
    "deploy/tests/test_project_deletion.py": 90,
    "services/chassis/tests/test_events.py": 90,
    "tests/integration/test_revoked_keys.py": 85,
    "tests/integration/hostile/test_shared_address.py": 65,
    "services/chassis/tests/test_restore.py": 60,
    "services/licensing/tests/test_tampering.py": 60,
    "deploy/tests/test_misdirected.py": 40,
    "tests/rig/test_rig.py": 40,
    "deploy/tests/test_alone.py": 40,
    "services/accounts/tests/test_absorbed_ids.py": 40,
    "services/licensing/tests/files/test_audit.py": 40,
    "deploy/tests/test_metrics.py": 35,
    "deploy/tests/test_statements.py": 35,
    "gateway/tests/test_slow.py": 35,
    "tests/integration/hostile/test_logs.py": 32,
    "tests/openapi/test_redocly.py": 30,
    "services/accounts/tests/test_service.py": 30,
}
_KINDS: Final = ("fleet", "embedded")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the folder of claims and the worker's number."""
    parser.addoption(_FOLDER, type=Path, required=True, help="folder in which tests are claimed")
    parser.addoption(_WORKER, type=int, required=True, help="number of this worker")


class Group:
    """Tests that one worker runs together.

    Args:
        name: file, and the installation if they use one.
        kind: `embedded`, `fleet`, or empty for those without a shared installation.
    """

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.items: list[pytest.Item] = []

    def rank(self, kind: str) -> tuple[int, int, str]:
        """Return how much a worker wants it that has an installation of `kind` running; less is sooner."""
        shared = 0 if self.kind == kind else 2
        seconds = LONGEST.get(self.name, 0)
        alone = 1 if seconds else 3
        return shared if self.kind else alone, -(seconds or len(self.items)), self.name


def grouped(items: list[pytest.Item]) -> list[Group]:
    """Return the tests in groups, in each as they were collected."""
    groups: dict[str, Group] = {}
    for item in items:
        path = item.nodeid.partition("::")[0]
        callspec = getattr(item, "callspec", None)
        kind = callspec.params.get("installation", "") if callspec else ""
        name = f"{path} {kind}".rstrip()
        groups.setdefault(name, Group(name, kind)).items.append(item)
    return list(groups.values())


class Claims:
    """Which groups are left.

    Args:
        folder: shared by all workers.
        worker: number of this one.
        groups: all of them; every worker collects the same.
    """

    def __init__(self, folder: Path, worker: int, groups: list[Group]) -> None:
        self.folder = folder
        self.left = groups
        # One begins with each kind of installation; who comes later begins with what needs none.
        self.kind = _KINDS[worker] if worker < len(_KINDS) else ""

    def __iter__(self) -> Iterator[pytest.Item]:
        while group := self._next():
            self.kind = group.kind or self.kind
            yield from group.items

    def _next(self) -> Group | None:
        while self.left:
            group = min(self.left, key=lambda one: one.rank(self.kind))
            self.left.remove(group)
            try:
                (self.folder / group.name.replace("/", "!")).open("x").close()
            except FileExistsError:
                continue
            return group
        return None


class Worker:
    """Runs what it claims and writes a line of JSON for each report.

    Args:
        folder: shared by all workers.
        number: of this one.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self.folder = folder
        self.number = number
        self.reports = (folder / f"reports.{number}").open("a", encoding="utf-8", buffering=1)

    def _tell(self, **line: Any) -> None:
        self.reports.write(json.dumps(line) + "\n")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell what there is to run, so that the parent sees whether all of it was run."""
        self._tell(collected=[item.nodeid for item in session.items])

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run claimed groups in place of all tests."""
        if session.testsfailed and not session.config.option.continue_on_collection_errors:
            raise session.Interrupted(f"{session.testsfailed} errors during collection")
        items = iter(Claims(self.folder, self.number, grouped(session.items)))
        item = next(items, None)
        while item is not None:
            following = next(items, None)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            item = following
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell what came of a step of a test."""
        self._tell(
            test=report.nodeid,
            when=report.when,
            outcome=report.outcome,
            seconds=report.duration,
            text=report.longreprtext if report.failed else "",
            sections=report.sections if report.failed else [],
        )


def pytest_configure(config: pytest.Config) -> None:
    """Run tests as a worker."""
    config.pluginmanager.register(Worker(config.getoption(_FOLDER), config.getoption(_WORKER)))
