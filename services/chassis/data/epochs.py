"""Epochs of a service's log: a log that lost its end by a restore goes on in a new one (rule R25).

An epoch is a random id and the sequence at which it starts. Whoever follows the log keeps the epoch, its position and
the id of the event applied last: the restored database still says the old epoch, but knows another event at that
position, or none. `services.chassis.data.reconcile` starts the next epoch above everybody's position.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.tables import log_epochs, outbox_head
from services.chassis.ids import new_id

_CURRENT = sa.select(log_epochs.c.epoch).order_by(log_epochs.c.start.desc()).limit(1)


def current(connection: Connection) -> str:
    """Return the epoch in which a service's log is written today."""
    epoch: str = connection.execute(_CURRENT).scalar_one()
    return epoch


def start_first(connection: Connection, now: datetime) -> None:
    """Give a log that has none its first epoch, which starts with the first event."""
    if connection.execute(_CURRENT).first() is None:
        connection.execute(sa.insert(log_epochs).values(epoch=new_id(), start=1, previous_end=0, at=now))


def start_next(connection: Connection, now: datetime, above: int) -> str:
    """Start a new epoch above every sequence that the log has and that anybody has applied; returns its id.

    Args:
        connection: of a writing transaction of the source.
        now: its time.
        above: the highest sequence that a follower of the log has applied.
    """
    # The relay gives numbers under this lock.
    end = connection.execute(sa.select(outbox_head.c.last_sequence).with_for_update()).scalar_one()
    start = max(end, above) + 1
    epoch = new_id()
    connection.execute(sa.insert(log_epochs).values(epoch=epoch, start=start, previous_end=end, at=now))
    connection.execute(sa.update(outbox_head).values(last_sequence=start - 1))
    return epoch


def missing_before(connection: Connection, first: int, last: int) -> int:
    """Count the sequences between two of a log that no event has, since an epoch was started above them."""
    gaps = connection.execute(sa.select(log_epochs).where(log_epochs.c.start > log_epochs.c.previous_end + 1))
    return sum(max(0, min(gap.start - 1, last) - max(gap.previous_end + 1, first) + 1) for gap in gaps)
