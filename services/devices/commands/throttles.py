"""Counting what a person looks up about things of others (rules S3, S9): each thing once, within an hour."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from services.accounts.api import seconds_to_wait
from services.chassis.errors import limited
from services.devices.api import ERRORS
from services.devices.store import lookups

HELD_BY_OTHERS: Final = "held"
WARRANTY: Final = "warranty"
ORDER: Final = "order"
LIMITS: Final = {HELD_BY_OTHERS: 60, WARRANTY: 60, ORDER: 10}
"""Different things a person may look up in an hour: devices that others have, warranties, wrong order numbers."""


def check(connection: Connection, user_id: str, kind: str, keys: Collection[str], now: datetime) -> set[str]:
    """Return which of the keys are new within the hour, before anything about them is looked at.

    What was looked up within the hour may be looked up again, so that a rehearsal does not forbid its confirmation.

    Raises: devices.throttled when the person is at the limit and something is new.
    """
    seen = lookups.lock_lookups(connection, user_id, kind, now)
    new = set(keys) - seen.keys()
    wait = seconds_to_wait(sorted(seen.values()), LIMITS[kind], lookups.LOOKUP_WINDOW, now)
    if new and wait:
        raise limited("devices.throttled", ERRORS["devices.throttled"], retry_after=wait)
    return new


def record(connection: Connection, user_id: str, kind: str, keys: Collection[str], now: datetime) -> None:
    """Count these keys, which `check` has found to be new in the same transaction."""
    lookups.record_lookups(connection, user_id, kind, sorted(keys), now)
