"""`make bench`: measure ours and the yardsticks in turn, and write the ratios to docs/reference/performance.md."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from deploy.bare.postgresql import PostgreSQL
from deploy.bare.rabbitmq import RabbitMQ
from services.chassis.keys.keystore import KeyStore
from tests.bench import load, logins, traces
from tests.bench.fleet import Fleet, assigning_fleet
from tests.integration.installation import Installation
from tests.rig import free_port, wait_until

ROOT = Path(__file__).resolve().parents[2]
PAGE = Path(os.environ.get("BENCH_PAGE", ROOT / "docs/reference/performance.md"))
RUNS = int(os.environ.get("BENCH_RUNS", "3"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "8"))
HOP_TARGET, WRITE_TARGET, READ_TARGET = 0.50, 0.85, 1.30
_END_SECONDS = 20
LOGIN_TARGET, TOKEN_TARGET = 2.0, 0.05
START_TARGET_SECONDS, EMBEDDED_TARGET_MB, SERVICE_TARGET_MB = 5.0, 150, 90


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the page."""

    what: str
    ours: str
    yardstick: str
    result: str
    target: str
    is_met: bool


@contextmanager
def running(*arguments: str, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python module beside this process."""
    command = [sys.executable, "-W", "ignore", "-m", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **(environment or {})}, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def say(text: str) -> None:
    """Tell how far we are; the figures go to the page."""
    sys.stderr.write(f"bench: {text}\n")


def compare(what: str, ours: Callable[[], float], yardstick: Callable[[], float], target: float) -> Row:
    """Measure both in turn and return the row with the ratio of the medians."""
    our_figures, its_figures = [], []
    for number in range(RUNS):
        its_figures.append(yardstick())
        our_figures.append(ours())
        say(f"{what}, run {number + 1}: ours {our_figures[-1]:.0f}/s, yardstick {its_figures[-1]:.0f}/s")
    ratio = median(our_figures) / median(its_figures)
    return Row(
        what, f"{median(our_figures):.0f}/s", f"{median(its_figures):.0f}/s", f"{ratio:.2f}", f"at least {target:.2f}",
        ratio >= target,
    )  # fmt: skip


def hop(broker: RabbitMQ, folder: Path, in_flight: int, target: float) -> Row:
    """Compare an RPC through the chassis with bare AMQP."""
    uri = broker.uri()
    keys = {"TESSERA_DATA_DIR": str(folder)}

    def rate(module: str) -> float:
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            f"tests.bench.{module}",
            "call",
            uri,
            str(in_flight),
            str(SECONDS),
        ]
        environment = {**os.environ, **keys}
        done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
        return float(done.stdout.split()[-1])

    ours = running("tests.bench.hop", "serve", uri, environment=keys)
    with running("tests.bench.raw_amqp", "serve", uri), ours:
        wait_until(lambda: _queues(broker) >= {"bench-raw", "rpc-bench"}, 60, what="both have declared their queues")
        return compare(
            f"RPC hop through the chassis, {in_flight} in flight, against bare AMQP request and reply",
            lambda: rate("hop"), lambda: rate("raw_amqp"), target,
        )  # fmt: skip


def whole(folder: Path, cluster: PostgreSQL) -> list[Row]:
    """Compare the fleet with the monolith on writes and reads, and weigh the fleet's processes."""
    from tests.bench import monolith

    database = cluster.create_database("monolith")
    engine = monolith.connect(database)
    monolith.fill(engine)
    engine.dispose()
    token = monolith.make_token()
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    arguments = (
        "uvicorn", "tests.bench.monolith:app", "--port", str(port), "--workers", "1", "--log-level", "warning",
        "--loop", "uvloop", "--http", "httptools",
    )  # fmt: skip
    with running(*arguments, environment={"BENCH_DATABASE": database}), assigning_fleet(folder) as fleet:
        wait_until(lambda: _answers(f"{base}/openapi.json"), 20, what="the monolith answers")
        rows = [Row(f"memory of {name}, idle", f"{size:.0f} MB", "", "", f"at most {SERVICE_TARGET_MB} MB",
                    size <= SERVICE_TARGET_MB) for name, size in fleet.memory().items()]  # fmt: skip
        body = {"licenses": [{"license_type": name, "quantity": 1} for name in monolith.LICENSE_TYPES]}
        its_paths = [f"/v1/devices/{device}/licenses" for device in monolith.DEVICES]
        our_paths = [f"/v1/devices/{device}/licenses" for device in fleet.devices]
        rows.insert(0, compare(
            "assign licenses through gateway and fleet, 16 connections, against the monolith's writes",
            lambda: load.rate(fleet.base, fleet.token(), our_paths, body=body, seconds=SECONDS),
            lambda: load.rate(base, token, its_paths, body=body, seconds=SECONDS), WRITE_TARGET,
        ))  # fmt: skip
        rows.insert(1, compare(
            "read a balance through gateway and fleet, 16 connections, against the monolith's reads",
            lambda: load.rate(fleet.base, fleet.token(), ["/v1/balance"], seconds=SECONDS),
            lambda: load.rate(base, token, ["/v1/balance"], seconds=SECONDS), READ_TARGET,
        ))  # fmt: skip
        rows += people(fleet, folder)
    return rows


def people(fleet: Fleet, folder: Path) -> list[Row]:
    """Tell what logins cost others, and what the check of a token costs a read."""
    alone = logins.p95_of_reads(fleet, 15)
    beside, per_second = logins.p95_beside_logins(fleet, logins.LOGIN_SECONDS)
    say(f"p95 of reads: {alone:.1f} ms alone, {beside:.1f} ms beside {per_second:.1f} logins/s")
    reads = load.rate(fleet.base, fleet.token(), ["/v1/balance"], seconds=SECONDS)
    share = logins.seconds_per_token(KeyStore(folder / "bench-keys", b"bench")) * reads
    return [
        Row(f"p95 of balance reads ({logins.READS_PER_SECOND}/s) beside {per_second:.0f} logins/s for "
            f"{logins.LOGIN_SECONDS} s, against without", f"{beside:.1f} ms", f"{alone:.1f} ms",
            f"{beside / alone:.2f}",
            f"at most {LOGIN_TARGET:.0f}", beside / alone <= LOGIN_TARGET),
        Row("check of a known token, as part of a balance read", f"{100 * share:.2f} %", "", "",
            f"at most {100 * TOKEN_TARGET:.0f} %", share <= TOKEN_TARGET),
    ]  # fmt: skip


def embedded(folder: Path) -> list[Row]:
    """Time the second start of the one process and weigh it."""
    Installation("embedded", folder).start().stop()
    times, sizes = [], []
    for number in range(RUNS):
        start = time.perf_counter()
        installation = Installation("embedded", folder).start()
        times.append(time.perf_counter() - start)
        assert installation.process is not None
        sizes.append(resident_mb(installation.process.pid))
        installation.stop()
        say(f"embedded, start {number + 2}: {times[-1]:.1f} s, {sizes[-1]:.0f} MB")
    return [
        Row("`make run`, second start, until `/readyz` says 200", f"{median(times):.1f} s", "", "",
            f"at most {START_TARGET_SECONDS:.0f} s", median(times) <= START_TARGET_SECONDS),
        Row("memory of the one process, idle", f"{median(sizes):.0f} MB", "", "", f"at most {EMBEDDED_TARGET_MB} MB",
            median(sizes) <= EMBEDDED_TARGET_MB),
    ]  # fmt: skip


def resident_mb(pid: int) -> float:
    """Return how much memory a process holds, in MB of 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ProcessLookupError(f"process {pid} has no memory; it has ended")


def _queues(broker: RabbitMQ) -> set[str]:
    return {queue["name"] for queue in broker.manage("GET", "/api/queues")}


def _answers(address: str) -> bool:
    import requests

    try:
        return requests.get(address, timeout=2).ok
    except requests.RequestException:
        return False


def page(rows: list[Row]) -> str:
    """Return the page as Markdown."""
    head = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(head, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    text = f"""\
# Performance

Written by `make bench`; do not edit. Figures of one machine mean little, the ratios are what counts: ours and the
yardstick ran in turn, {RUNS} runs of {SECONDS} s each, medians. The yardsticks are in `tests/bench`.

Measured on {time.strftime("%Y-%m-%d", time.gmtime())} at commit `{commit}` on {os.cpu_count()} shared cores
with Python {sys.version.split()[0]}; load generator, services, RabbitMQ and PostgreSQL (fsync on) on the same cores.

The ratios on this page until 2026-11-24 (RPC hop 0.67, assignment 0.90, balance 1.70) were against weaker yardsticks,
and are not to be compared with later ones. The monolith opened new sessions to PostgreSQL all the time (pool of 5+10 at
16 connections), read inside BEGIN and ROLLBACK and ran on asyncio's own loop and parser; the AMQP client wrote frame by
frame and read a few bytes at a time. Now the monolith keeps 20 connections, reads without a transaction and runs on
uvloop and httptools; the AMQP client reads all that has come at once and sends what it writes in one piece.

| what | ours | yardstick | ratio | target | met |
|---|---|---|---|---|---|
"""
    for row in rows:
        met = "yes" if row.is_met else "**no**"
        text += f"| {row.what} | {row.ours} | {row.yardstick} | {row.result} | {row.target} | {met} |\n"
    return text


def measure(work: Path) -> list[Row]:
    """Measure everything in a folder that is removed afterwards."""
    broker = RabbitMQ(work / "rabbitmq", throw_away=True)
    cluster = PostgreSQL(work / "postgresql", throw_away=True)
    try:
        broker.start()
        rows = [hop(broker, work / "hop", 16, HOP_TARGET)]
        broker.close()
        cluster.start()
        rows += whole(work / "fleet", cluster)
    finally:
        broker.close()
        cluster.close()
    return rows + embedded(work / "embedded")


def main() -> int:
    """Measure everything, write the page and see that nothing is left behind; returns 1 when something is."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    traces.adopt_orphans()
    before = traces.files(ROOT) | {"docs/reference/performance.md"}
    work = traces.new_workplace()
    try:
        with traces.workplace(work):
            content = page(measure(work))
        PAGE.write_text(content)
        sys.stdout.write(content)
    finally:
        left = traces.left_behind(ROOT, before, work)
        for trace in left:
            say(f"left behind: {trace}")
    return 1 if left else 0


if __name__ == "__main__":
    raise SystemExit(main())
