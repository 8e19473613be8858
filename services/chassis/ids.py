"""Identifiers: UUID version 7 (RFC 9562), unguessable and ordered by time of creation."""

from __future__ import annotations

import os
import time
from uuid import UUID


_last = 0


def new_id() -> str:
    """Return a new UUIDv7 in its canonical text form (36 characters).

    Ids of one process are in the order in which they were made, also within a millisecond: events of one transaction
    are told in that order. A clock that was put back does not break it; 64 random bits stay in each id.
    """
    global _last
    random_bits = int.from_bytes(os.urandom(10), "big")
    # 48 bits of milliseconds, 10 bits of the millisecond's fraction and count (RFC 9562, method 3), 64 random bits.
    ticks = max((time.time_ns() << 10) // 1_000_000, _last + 1)
    _last = ticks
    value = ((ticks >> 10) & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76
    value |= ((ticks & 0x3FF) << 2 | (random_bits >> 62) & 0b11) << 64
    value |= 0b10 << 62
    value |= random_bits & ((1 << 62) - 1)
    return str(UUID(int=value))
