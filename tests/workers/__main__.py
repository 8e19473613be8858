"""Run all tests on several workers that share one RabbitMQ and one PostgreSQL, and say what came of it.

Usage: python -m tests.workers [pytest's arguments]. TESSERA_TEST_WORKERS is the number of workers, without it one more
than there are cores, since tests also wait. Ends with 0 when every test that was collected was run and passed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from deploy.bare.postgresql import PostgreSQL
from deploy.bare.rabbitmq import RabbitMQ
from tests.rig.scratch import scratch

ROOT: Final = Path(__file__).parents[2]
_SLOWEST: Final = 20
_LOOK_EVERY: Final = 0.5


@dataclass
class Results:
    """What the workers told so far.

    Args:
        folder: where they write.
        number: of workers.
    """

    folder: Path
    number: int
    collected: list[set[str]] = field(default_factory=list)
    seconds: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    _read: dict[int, int] = field(default_factory=dict)

    def read(self) -> None:
        """Take in what was written since the last time; failures are shown at once."""
        for number in range(self.number):
            path = self.folder / f"reports.{number}"
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(self._read.get(number, 0))
                whole = file.read()
            whole = whole[: whole.rfind(b"\n") + 1]
            self._read[number] = self._read.get(number, 0) + len(whole)
            for line in whole.splitlines():
                self._take(json.loads(line))

    def _take(self, line: dict[str, Any]) -> None:
        if "collected" in line:
            self.collected.append(set(line["collected"]))
            return
        test = line["test"]
        self.seconds[test] += line["seconds"]
        if line["outcome"] == "failed":
            word = "FAILED" if line["when"] == "call" else "ERROR"
            sections = [f"--- {name}\n{text}" for name, text in line["sections"]]
            self.failed[f"{word} {test}"] = "\n".join([line["text"], *sections])
            say(f"\n{word} {test}")
        elif line["outcome"] == "skipped":
            self.ended[test] = "skipped"
        if line["when"] == "teardown":
            self.ended.setdefault(test, "run")

    @property
    def total(self) -> int:
        """Return how many tests were collected, 0 as long as nobody told."""
        return len(self.collected[0]) if self.collected else 0

    def lost(self) -> set[str]:
        """Return the tests that not every worker knew, or that nobody brought to an end."""
        known = set().union(*self.collected)
        return {test for test in known if any(test not in of_one for of_one in self.collected)} | known - set(
            self.ended
        )


def say(text: str, end: str = "\n") -> None:
    """Write at once."""
    sys.stdout.write(text + end)
    sys.stdout.flush()


@contextmanager
def nodes(folder: Path) -> Iterator[dict[str, str]]:
    """Give the environment in which the rig uses one RabbitMQ and one PostgreSQL for all."""
    if "TESSERA_RIG_AMQP" in os.environ and "TESSERA_RIG_POSTGRES" in os.environ:
        yield {}
        return
    with ExitStack() as stack:
        broker = RabbitMQ(folder / "rabbitmq", throw_away=True)
        cluster = PostgreSQL(folder / "postgresql", throw_away=True)
        for node in (broker, cluster):
            stack.callback(node.close)
            node.start()
        yield {"TESSERA_RIG_AMQP": broker.uri(), "TESSERA_RIG_POSTGRES": cluster.uri()}


def run(number: int, arguments: list[str], folder: Path, environment: dict[str, str]) -> int:
    """Start the workers, wait for them and return the exit code of all."""
    results, started = Results(folder, number), time.monotonic()
    # Written with "=", since pytest takes a folder that stands alone for a place of tests and of their settings.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.workers.plugin", f"--claims={folder}", *arguments]
    logs = [(folder / f"log.{worker}").open("wb") for worker in range(number)]
    workers = [
        subprocess.Popen(
            [*command, f"--worker={worker}"], cwd=ROOT, stdout=log, stderr=log, env={**os.environ, **environment}
        )
        for worker, log in enumerate(logs)
    ]
    try:
        shown = 0
        while any(worker.poll() is None for worker in workers):
            time.sleep(_LOOK_EVERY)
            results.read()
            done = 100 * len(results.ended) // (results.total or 1)
            if done >= shown + 2:
                shown = done
                say(f"{done} % of {results.total} tests, {time.monotonic() - started:.0f} s")
    finally:
        for worker, log in zip(workers, logs, strict=True):
            if worker.poll() is None:
                # As Ctrl-C does: what the tests started is ended too.
                worker.send_signal(signal.SIGINT)
            worker.wait(120)
            log.close()
    results.read()
    return report(results, [worker.returncode for worker in workers], time.monotonic() - started)


def report(results: Results, codes: list[int], seconds: float) -> int:
    """Say what failed, what was slow and how many there were; return the exit code."""
    for name, text in results.failed.items():
        say(f"\n{'=' * 100}\n{name}\n{text}")
    # 5: nothing was left for a worker to run.
    ended_badly = [number for number, code in enumerate(codes) if code not in (0, 1, 5)]
    for number in ended_badly:
        text = (results.folder / f"log.{number}").read_text(errors="replace")
        say(f"\n{'=' * 100}\nworker {number} ended with {codes[number]}:\n{text[-8000:]}")
    lost = results.lost()
    for test in sorted(lost)[:50]:
        say(f"LOST {test}")
    say(f"\nslowest {_SLOWEST}:")
    for test, took in results.seconds.most_common(_SLOWEST):
        say(f"{took:7.1f} s  {test}")
    counts = Counter(results.ended.values())
    say("")
    for name in results.failed:
        say(name)
    say(
        f"{counts['run'] - len(results.failed)} passed, {len(results.failed)} failed, {counts['skipped']} skipped, "
        f"{len(lost)} lost, in {seconds:.0f} s on {len(codes)} workers"
    )
    wrong = results.failed or lost or ended_badly or counts["skipped"] or not results.ended
    return 1 if wrong or len(results.collected) < len(codes) else 0


def main() -> int:
    """Run the tests that the arguments of the command select."""
    number = int(os.environ.get("TESSERA_TEST_WORKERS") or (os.cpu_count() or 1) + 1)
    folder = Path(tempfile.mkdtemp(prefix="tessera-tests-", dir=scratch()))
    folder.chmod(0o755)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with nodes(folder) as environment:
            code = run(number, sys.argv[1:], folder, environment)
        if keep := os.environ.get("TESSERA_TEST_REPORTS"):
            for path in [*folder.glob("reports.*"), *folder.glob("log.*")]:
                shutil.copy(path, keep)
        return code
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main())
