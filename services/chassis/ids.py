"""Identifiers: UUID version 7 (RFC 9562), unguessable and ordered by time of creation."""

from __future__ import annotations

import os
import time
from uuid import UUID


def new_id() -> str:
    """Return a new UUIDv7 in its canonical text form (36 characters)."""
    milliseconds = time.time_ns() // 1_000_000
    random_bits = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76
    value |= ((random_bits >> 62) & 0xFFF) << 64
    value |= 0b10 << 62
    value |= random_bits & ((1 << 62) - 1)
    return str(UUID(int=value))
