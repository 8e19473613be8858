"""The SQL of what persons looked up about things of others, which is counted (rules S3, S9)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.db import insert_or_ignore
from services.devices.models import Lookup, Throttle

LOOKUP_WINDOW = timedelta(hours=1)


def lock_lookups(connection: Connection, user_id: str, kind: str, now: datetime) -> dict[str, datetime]:
    """Return what a person looked up within the last hour, by key; others of theirs wait for this one."""
    insert_or_ignore(connection, Throttle, {"user_id": user_id, "kind": kind})
    connection.execute(
        sa.select(Throttle.user_id).where(Throttle.user_id == user_id, Throttle.kind == kind).with_for_update()
    )
    mine = sa.and_(Lookup.user_id == user_id, Lookup.kind == kind)
    connection.execute(sa.delete(Lookup).where(mine, Lookup.at <= now - LOOKUP_WINDOW))
    return {row.key: row.at for row in connection.execute(sa.select(Lookup.key, Lookup.at).where(mine))}


def record_lookups(connection: Connection, user_id: str, kind: str, keys: Iterable[str], now: datetime) -> None:
    """Remember what a person looked up just now; `lock_lookups` came before in the same transaction."""
    rows = [{"user_id": user_id, "kind": kind, "key": key, "at": now} for key in keys]
    if rows:
        connection.execute(sa.insert(Lookup), rows)
