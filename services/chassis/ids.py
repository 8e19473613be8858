"""Identifiers: UUID version 7 (RFC 9562), unguessable, and within a process strictly in the order they were made."""

from __future__ import annotations

import os
import threading
import time
from datetime import datetime
from uuid import UUID


class _Stamps:
    """The time stamps given out by this process, each larger than the one before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self, milliseconds: int, start: int) -> int:
        with self._lock:
            # The counter starts at random in its lower half; should it run over, it borrows from the next millisecond.
            self._last = max(milliseconds << 12 | start, self._last + 1)
            return self._last


_stamps = _Stamps()


def first_id(moment: datetime) -> str:
    """Return a text that stands before all ids which are made from a moment on, and behind all earlier ones."""
    milliseconds = int(moment.timestamp() * 1000)
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}"


def new_id() -> str:
    """Return a new UUIDv7 in its canonical text form (36 characters).

    Ids of one millisecond count up in the 12 bits behind the time (RFC 9562, 6.2 method 1), so that the events of one
    transaction, which a relay takes in the order of their ids, stay in the order in which they were emitted.
    """
    random_bits = int.from_bytes(os.urandom(10), "big")
    milliseconds = (time.time_ns() // 1_000_000) & ((1 << 48) - 1)
    stamp = _stamps.next(milliseconds, (random_bits >> 62) & 0x7FF)
    value = (stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64
    value |= 0b10 << 62 | random_bits & ((1 << 62) - 1)
    return str(UUID(int=value))
