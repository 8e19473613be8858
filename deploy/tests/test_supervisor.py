"""Processes come back within a second, hung ones are replaced, an asked stop finishes the work (R13, R17, O2)."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import eventlet
import pytest

from deploy import supervisor as module
from deploy.supervisor import Process, Supervisor
from services.chassis.bus.rpc import standalone
from services.chassis.context import Call
from services.chassis.service.topology import declare_topology
from services.chassis.settings import Settings
from services.chassis.tests.messaging_world import SourceService, make_settings, prepare
from tests.rig import wait_until

ROOT = Path(__file__).resolve().parents[2]
SLEEPER = (sys.executable, "-c", "import time; time.sleep(60)")


@contextmanager
def watched(supervisor: Supervisor) -> Iterator[Supervisor]:
    supervisor.start()
    thread = eventlet.spawn(supervisor.run)
    try:
        yield supervisor
    finally:
        supervisor.ask_to_stop()
        thread.wait()


def service_process(settings: Settings) -> Process:
    environment = {
        "TESSERA_DATA_DIR": str(settings.data_dir),
        "TESSERA_AMQP_URI": settings.amqp_uri,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
    }
    command = (sys.executable, "-m", "deploy.tests.supervised_service")
    return Process("source-1", command, environment, service="source")


def test_a_killed_process_is_back_within_a_second_and_its_neighbor_is_left_alone() -> None:
    with watched(Supervisor([Process("a", SLEEPER), Process("b", SLEEPER)])) as supervisor:
        before = supervisor.pids
        os.kill(before["a"], signal.SIGKILL)
        wait_until(lambda: supervisor.pids.get("a", before["a"]) != before["a"], 1.0)
        assert supervisor.pids["b"] == before["b"]
    for pid in {*before.values(), *supervisor.pids.values()}:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_process_that_keeps_ending_is_restarted_ever_more_slowly_and_raises_an_alarm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_RESTART_SECONDS", 0.3)
    alarms: list[str] = []
    crash = Process("crash", (sys.executable, "-S", "-c", "raise SystemExit(1)"))
    with watched(Supervisor([crash], on_alarm=alarms.append)):
        wait_until(lambda: bool(alarms), 15)
    assert "crash was restarted 5 times" in alarms[0]


def test_a_process_that_ignores_the_request_to_end_is_killed() -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    alarms: list[str] = []
    supervisor = Supervisor([Process("stubborn", (sys.executable, "-c", stubborn))], on_alarm=alarms.append)
    supervisor.start()
    pid = supervisor.pids["stubborn"]
    eventlet.sleep(0.5)
    supervisor.stop(0.5)
    assert "did not end" in alarms[0]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_frozen_service_is_noticed_and_replaced(vhost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CANARY_SECONDS", 0.5)
    monkeypatch.setattr(module, "_PING_SECONDS", 1.0)
    settings = make_settings(tmp_path, vhost)
    prepare(settings, "source")
    declare_topology(settings, [SourceService])
    alarms: list[str] = []
    supervisor = Supervisor([service_process(settings)], vhost, on_alarm=alarms.append)
    with watched(supervisor), standalone(vhost) as to:
        to("source").say(Call(deadline=time.time() + 15), word="up")
        eventlet.sleep(2)
        first = supervisor.pids["source-1"]
        os.kill(first, signal.SIGSTOP)
        wait_until(lambda: supervisor.pids.get("source-1", first) != first, 15)
        assert to("source").say(Call(deadline=time.time() + 20), word="again") == {"said": "again"}
    assert "left 3 pings unanswered" in alarms[0]


def test_sigterm_finishes_the_calls_at_work_and_ends_with_zero(vhost: str, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, vhost)
    prepare(settings, "source")
    declare_topology(settings, [SourceService])
    supervisor = Supervisor([service_process(settings)])
    supervisor.start()
    handle = supervisor._all[0].handle
    assert handle is not None
    with standalone(vhost) as to:
        to("source").say(Call(deadline=time.time() + 20), word="up")
        calls = [
            eventlet.spawn(to("source").say_slowly, Call(deadline=time.time() + 9), word=f"w{n}", seconds=1.5)
            for n in range(8)
        ]
        eventlet.sleep(0.7)
        handle.send_signal(signal.SIGTERM)
        assert [call.wait() for call in calls] == [{"said": f"w{n}"} for n in range(8)]
        wait_until(lambda: handle.poll() is not None, 15)
    assert handle.returncode == 0
