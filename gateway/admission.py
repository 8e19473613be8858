"""Back-pressure: a bounded number of requests work, a bounded number wait, the others hear 503 at once (rule G6)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from eventlet.semaphore import Semaphore

from services.chassis.context import Call
from services.chassis.errors import unavailable


class Admission:
    """Lets requests in.

    Args:
        working: how many may work at the same time.
        waiting: how many may wait for that.
        seconds: how long one waits at most; the rest of its deadline is for the work.
    """

    def __init__(self, working: int = 64, waiting: int = 256, seconds: float = 5.0) -> None:
        self._working = Semaphore(working)
        self._limit = waiting
        self._seconds = seconds
        self.waiting = 0
        self.working = 0

    @contextmanager
    def enter(self, call: Call) -> Iterator[None]:
        """Hold a place for the time of the block.

        Raises:
            service.overloaded: too many wait already, or no place came free in time.
        """
        if not self._working.acquire(blocking=False):
            if self.waiting >= self._limit:
                raise unavailable("service.overloaded", "There are too many requests at once; try again in a moment.")
            self.waiting += 1
            try:
                got = self._working.acquire(timeout=min(self._seconds, max(call.remaining(), 0.01)))
            finally:
                self.waiting -= 1
            if not got:
                raise unavailable("service.overloaded", "There are too many requests at once; try again in a moment.")
        self.working += 1
        try:
            yield
        finally:
            self.working -= 1
            self._working.release()
