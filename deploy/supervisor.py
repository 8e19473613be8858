"""Starts the processes of a fleet, restarts those that end, and replaces those that hang (rules R13, R17).

It knows processes and pings, not what they do. It signals only processes that it started, by their id.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import eventlet
import structlog
from eventlet.event import Event

from services.chassis.bus import wire
from services.chassis.bus.link import BrokerDown, Link
from services.chassis.bus.rpc import Bus
from services.chassis.context import Call
from services.chassis.errors import ServiceError

FIRST_RESTART_SECONDS: Final = 0.2
MAX_RESTART_SECONDS: Final = 10.0
STEADY_SECONDS: Final = 60.0
ALARM_RESTARTS: Final = 5
ALARM_SECONDS: Final = 300.0
STOP_SECONDS: Final = 35.0
CANARY_SECONDS: Final = 10.0
CANARY_MISSES: Final = 3
_PING_SECONDS: Final = 5.0
_START_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.1

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Process:
    """A process to keep running.

    Args:
        name: unique among the supervised, and the name under which a service's process answers pings.
        command: program and arguments.
        environment: settings on top of the supervisor's own.
        service: name of the nameko service that is pinged, None for a process that knows no ping.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    service: str | None = None


class _Running:
    """One process with what is remembered about it."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.handle: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.start_at = 0.0
        self.backoff = FIRST_RESTART_SECONDS
        self.restarts: deque[float] = deque(maxlen=ALARM_RESTARTS)
        self.misses = 0
        self.answered = False

    def start(self) -> None:
        environment = {**os.environ, **self.process.environment, "TESSERA_INSTANCE": self.process.name}
        # A session of its own: Ctrl-C reaches the supervisor only, which then stops them in order.
        command = [*_ending_with_parent(), *self.process.command]
        self.handle = subprocess.Popen(command, env=environment, start_new_session=True)
        self.started_at = time.monotonic()
        self.misses, self.answered = 0, False


class Supervisor:
    """Keeps processes running until it is asked to stop.

    Args:
        processes: in the order in which they are started; they are stopped in the reverse order.
        amqp_uri: broker for the pings, None for no pings.
        on_change: gets the process ids by name after each start and end.
        on_alarm: gets a sentence for a person when a process keeps ending or hangs.
    """

    def __init__(
        self,
        processes: Sequence[Process],
        amqp_uri: str | None = None,
        on_change: Callable[[dict[str, int]], None] | None = None,
        on_alarm: Callable[[str], None] | None = None,
    ) -> None:
        self._all = [_Running(process) for process in processes]
        self._amqp_uri = amqp_uri
        self._on_change = on_change
        self._on_alarm = on_alarm
        self._asked = Event()

    @property
    def pids(self) -> dict[str, int]:
        """Return the ids of the running processes by name."""
        return {r.process.name: r.handle.pid for r in self._all if r.handle is not None and r.handle.poll() is None}

    @property
    def restarts(self) -> dict[str, int]:
        """Return how often each process was restarted lately; a gauge (rule O3)."""
        return {running.process.name: len(running.restarts) for running in self._all}

    def start(self) -> None:
        """Start all processes."""
        for running in self._all:
            running.start()
        self._changed()

    def ask_to_stop(self, *_: Any) -> None:
        """Let `run` return; safe to be called from a signal handler."""
        if not self._asked.ready():
            self._asked.send(True)

    def run(self) -> None:
        """Watch the processes until asked to stop, then stop them all."""
        canary = eventlet.spawn(self._ping_for_ever) if self._amqp_uri else None
        try:
            while not self._asked.wait(timeout=_LOOK_SECONDS):
                self.look()
        finally:
            if canary is not None:
                canary.kill()
            self.stop()

    def look(self) -> None:
        """Restart what has ended, once its pause is over."""
        now = time.monotonic()
        for running in self._all:
            handle = running.handle
            if handle is not None and handle.poll() is not None:
                self._ended(running, handle.returncode, now)
            if running.handle is None and now >= running.start_at:
                running.start()
                self._changed()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ask every process to end, the last started first, and end by force what has not ended within `seconds`."""
        for running in reversed(self._all):
            if running.handle is not None and running.handle.poll() is None:
                running.handle.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + seconds
        for running in reversed(self._all):
            handle = running.handle
            while handle is not None and handle.poll() is None and time.monotonic() < deadline:
                eventlet.sleep(0.05)
            if handle is not None and handle.poll() is None:
                self._alarm(f"{running.process.name} did not end within {seconds:g} s and was killed.")
                handle.kill()
                handle.wait()
            running.handle = None
        self._changed()

    def _ended(self, running: _Running, code: int, now: float) -> None:
        steady = now - running.started_at > STEADY_SECONDS
        running.backoff = FIRST_RESTART_SECONDS if steady else running.backoff
        running.handle, running.start_at = None, now + running.backoff
        _log.error("a process ended", name=running.process.name, code=code, restart_in=running.backoff)
        running.backoff = min(max(1.0, running.backoff * 2), MAX_RESTART_SECONDS)
        running.restarts.append(now)
        if len(running.restarts) == ALARM_RESTARTS and now - running.restarts[0] < ALARM_SECONDS:
            self._alarm(f"{running.process.name} was restarted {ALARM_RESTARTS} times within {ALARM_SECONDS:g} s.")
        self._changed()

    def _ping_for_ever(self) -> None:
        assert self._amqp_uri is not None
        bus = Bus.of(self._amqp_uri)
        while True:
            eventlet.sleep(CANARY_SECONDS)
            try:
                # Where the broker itself does not answer, a missing reply says nothing about a service.
                Link(self._amqp_uri, lambda link: link.channel()).close()
            except BrokerDown as error:
                _log.warning("the broker does not answer, services are not pinged", error=str(error))
                continue
            pool = eventlet.GreenPool()
            for running in self._all:
                if running.process.service is not None and running.handle is not None:
                    pool.spawn(self._ping, bus, running, running.process.service)
            pool.waitall()

    def _ping(self, bus: Bus, running: _Running, service: str) -> None:
        key = wire.health_key(service, running.process.name)
        handle = running.handle
        try:
            bus.call(service, "ping", Call(deadline=time.time() + _PING_SECONDS), {}, routing_key=key)
        except ServiceError:
            running.misses += 1
        else:
            running.misses, running.answered = 0, True
        starting = not running.answered and time.monotonic() - running.started_at < _START_SECONDS
        if running.misses >= CANARY_MISSES and not starting and handle is running.handle and handle is not None:
            self._alarm(f"{running.process.name} left {running.misses} pings unanswered and was killed.")
            running.misses = 0
            handle.kill()

    def _changed(self) -> None:
        if self._on_change is not None:
            self._on_change(self.pids)

    def _alarm(self, text: str) -> None:
        _log.critical("alarm", text=text)
        if self._on_alarm is not None:
            self._on_alarm(text)


def _ending_with_parent() -> list[str]:
    """Return the start of a command that the kernel ends when its supervisor is gone, however that ended.

    Done by a program that then becomes the command: code of ours between fork and exec is unsafe beside green threads.
    """
    setpriv = shutil.which("setpriv")  # of util-linux, which every Debian has
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
