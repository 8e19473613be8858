"""Identifiers: UUID version 7 (RFC 9562), unguessable, and within a process strictly in the order they were made."""

from __future__ import annotations

import os
import threading
import time
from uuid import UUID

_lock = threading.Lock()
_last_stamp = 0


def new_id() -> str:
    """Return a new UUIDv7 in its canonical text form (36 characters).

    Ids of one millisecond count up in the 12 bits behind the time (RFC 9562, 6.2 method 1), so that the events of one
    transaction, which a relay takes in the order of their ids, stay in the order in which they were emitted.
    """
    global _last_stamp
    random_bits = int.from_bytes(os.urandom(10), "big")
    milliseconds = (time.time_ns() // 1_000_000) & ((1 << 48) - 1)
    with _lock:
        # The counter starts in the lower half at random; if it ever runs over, it borrows from the next millisecond.
        stamp = max(milliseconds << 12 | (random_bits >> 62) & 0x7FF, _last_stamp + 1)
        _last_stamp = stamp
    value = (stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64
    value |= 0b10 << 62 | random_bits & ((1 << 62) - 1)
    return str(UUID(int=value))
