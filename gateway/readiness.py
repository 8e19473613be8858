"""Whether the gateway can serve: who may be believed is known, every room answers, and the demo world is there."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, Final

import eventlet
import structlog

from gateway.authentication import Authentication
from gateway.row import Rooms
from services.chassis.context import Call
from services.chassis.errors import ServiceError

log = structlog.get_logger()

ROOMS: Final = ("accounts", "projects", "devices", "licensing", "history")
PING_SECONDS: Final = 2.0
# A room that restarts must not take the whole door out of service; one that stays away must.
GRACE_SECONDS: Final = 30.0


class Readiness:
    """Asks each room through the broker again and again, and remembers when it answered last.

    Args:
        rooms: calls the rooms.
        authentication: knows whether the revocations are loaded.
        pending: file that is there while the demo world is being made.
    """

    def __init__(self, rooms: Rooms, authentication: Authentication, pending: Path) -> None:
        self._rooms = rooms
        self._authentication = authentication
        self._pending = pending
        self._seen: dict[str, float] = {}
        # What each room said of its events: how long the oldest waits, and which sources it does not follow any more.
        self.messaging: dict[str, dict[str, Any]] = {}

    def run(self) -> None:
        """Watch for ever; often until ready, then every two seconds."""
        while True:
            self.look()
            eventlet.sleep(2.0 if not self.missing() else 0.2)

    def look(self) -> None:
        """Ask all rooms once, at the same time."""
        for thread in [eventlet.spawn(self._ping, room) for room in ROOMS]:
            thread.wait()

    def missing(self) -> list[str]:
        """Return what stands in the way of being ready, by name."""
        now = time.monotonic()
        lost = [room for room in ROOMS if now - self._seen.get(room, -math.inf) >= GRACE_SECONDS]
        if not self._authentication.is_ready:
            lost.append("revocations")
        if self._pending.exists():
            lost.append("demo")
        return lost

    def details(self) -> dict[str, Any]:
        """Return seconds since each room answered, for the admin listener."""
        now = time.monotonic()
        return {room: round(now - at, 1) for room, at in self._seen.items()}

    def _ping(self, room: str) -> None:
        try:
            answer = self._rooms.call(room, "ping", Call(deadline=time.time() + PING_SECONDS), {}).result
            self.messaging[room] = {
                "outbox_lag_seconds": answer.get("outbox_lag_seconds"),
                "stopped_sources": answer.get("stopped_sources") or {},
            }
            # A room whose database is away answers, but could not work.
            if answer.get("ready", True):
                self._seen[room] = time.monotonic()
        except ServiceError:
            pass
        except Exception:
            log.exception("ping_failed", room=room)
