"""SQL for throttles and known addresses. Keys are hashes: a source address is personal data."""

import hashlib
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from services.accounts.domain import KNOWN_ADDRESS_LIFE, Limit, Throttle, attempt, forgiven
from services.accounts.models import KnownAddress, ThrottleRow
from services.chassis.data.db import Unit, insert_or_ignore
from services.chassis.data.rows import columns_of

_throttles = ThrottleRow.__table__
_THROTTLE = columns_of(Throttle, _throttles)


def key_of(*parts: str) -> str:
    """Return the key of a throttle made of a purpose and what it is for."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def count(unit: Unit, key: str, limit: Limit) -> int:
    """Count an attempt as failed; returns 0 when it may be worked on, else the seconds to wait."""
    fresh = {"key": key, "failures": 0, "window_started_at": unit.now, "level": 0, "updated_at": unit.now}
    insert_or_ignore(unit.connection, ThrottleRow, {**fresh, "blocked_until": None})
    state, wait = attempt(_load(unit.connection, key), limit, unit.now)
    if not wait:
        _save(unit, key, state)
    return wait


def forgive(unit: Unit, key: str) -> None:
    """Take back one counted attempt, because it turned out to be good."""
    state = _load(unit.connection, key)
    if state is not None:
        _save(unit, key, forgiven(state, unit.now))


def clear(unit: Unit, key: str) -> None:
    """Forget all failures of a key."""
    unit.execute(sa.delete(ThrottleRow).where(ThrottleRow.key == key))


def knows_address(connection: Connection, user_id: str, address_hash: str, now: datetime) -> bool:
    """Return whether the user logged in from this source address not long ago."""
    statement = sa.select(sa.func.count()).where(
        KnownAddress.user_id == user_id,
        KnownAddress.address_hash == address_hash,
        KnownAddress.seen_at > now - KNOWN_ADDRESS_LIFE,
    )
    return bool(connection.execute(statement).scalar_one())


def remember_address(unit: Unit, user_id: str, address_hash: str) -> None:
    """Note that the user logged in from this source address."""
    values = {"user_id": user_id, "address_hash": address_hash, "seen_at": unit.now}
    if not insert_or_ignore(unit.connection, KnownAddress, values):
        unit.execute(
            sa.update(KnownAddress)
            .where(KnownAddress.user_id == user_id, KnownAddress.address_hash == address_hash)
            .values(seen_at=unit.now)
        )


def _load(connection: Connection, key: str) -> Throttle | None:
    row = connection.execute(sa.select(*_THROTTLE).where(_throttles.c.key == key).with_for_update()).first()
    return None if row is None else Throttle(*row)


def _save(unit: Unit, key: str, state: Throttle) -> None:
    unit.execute(
        sa.update(ThrottleRow)
        .where(ThrottleRow.key == key)
        .values(
            failures=state.failures,
            window_started_at=state.window_started_at,
            blocked_until=state.blocked_until,
            level=state.level,
            updated_at=unit.now,
        )
    )
