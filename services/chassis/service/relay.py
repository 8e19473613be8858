"""The relay: publishes a service's outbox in the order of its log, at least once, one process at a time (rule R8).

Numbers are given to committed rows only, so a reader never sees one without its predecessors. A crash between
publishing and marking sends a batch again; subscribers know events by their sequence.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import eventlet
import sqlalchemy as sa
import structlog
from eventlet.event import Event
from nameko.extensions import DependencyProvider

from services.chassis.bus import wire
from services.chassis.bus.link import BrokerDown
from services.chassis.bus.publisher import LIMIT_SECONDS, Outgoing, Publisher
from services.chassis.data import epochs, idempotency, outbox, reconcile
from services.chassis.data.db import Database, Unit
from services.chassis.data.tables import outbox as table
from services.chassis.data.tables import outbox_head
from services.chassis.faults import fail_point
from services.chassis.ids import new_id
from services.chassis.service.providers import DatabaseExtension

BATCH: Final = 50
WATERMARK_SECONDS: Final = 10.0
SWEEP_SECONDS: Final = 600.0
LEASE_SECONDS: Final = 10
_POLL_SECONDS: Final = 0.2
_GATHER_SECONDS: Final = 0.05
_LOCK_POLL_SECONDS: Final = 1.0
_MAX_BACKOFF_SECONDS: Final = 5.0
_LAG_ALARM_SECONDS: Final = 30.0

_log = structlog.get_logger(__name__)

_UNNUMBERED = (
    sa.select(table.c.id, sa.func.row_number().over(order_by=table.c.emission).label("place"))
    .where(table.c.sequence.is_(None))
    .order_by(table.c.emission)
    .limit(BATCH)
    .subquery()
)
_before = table.alias()
_PREVIOUS = (
    sa.select(_before.c.id)
    .where(_before.c.sequence < table.c.sequence)
    .order_by(_before.c.sequence.desc())
    .limit(1)
    .scalar_subquery()
)
_UNSENT = (
    sa.select(table.c.id, table.c.sequence, table.c.type, table.c.event, _PREVIOUS.label("previous_id"))
    .where(table.c.sent_at.is_(None), table.c.sequence.is_not(None))
    .order_by(table.c.sequence)
    .limit(BATCH)
)
_PROBE = sa.select(table.c.id).where(table.c.sent_at.is_(None)).limit(1)


def _has_unsent(connection: sa.Connection) -> bool:
    return connection.execute(_PROBE).first() is not None


class OutboxRelay:
    """Publishes the outbox of one database.

    Args:
        database: of the service.
        publisher: with confirms.
    """

    def __init__(self, database: Database, publisher: Publisher) -> None:
        self._database = database
        self._service = database.service
        self._exchange = wire.events_exchange(database.service).name
        self._publisher = publisher

    def step(self) -> int:
        """Number and publish one batch; returns how many events were published.

        Raises:
            BrokerDown: what was published is not known; the rows stay unsent.
        """
        self._database.write(_number)
        fail_point("relay.before_publish")
        epoch, rows = self._database.read(lambda c: (epochs.current(c), c.execute(_UNSENT).all()))
        if not rows:
            return 0
        outcomes = self._publisher.send_all([self._message(row, epoch) for row in rows])
        fail_point("relay.before_mark")
        sent = [row.sequence for row, outcome in zip(rows, outcomes, strict=True) if outcome == "ok"]
        if sent:
            self._database.write(lambda unit: _mark(unit, sent))
        fail_point("relay.after_mark")
        if len(sent) < len(rows):
            _log.error("events found no queue or were refused; they stay in the outbox", count=len(rows) - len(sent))
        return len(sent)

    def watermark(self) -> None:
        """Publish the last sequence, so that a subscriber can tell that it missed the newest events (rule R15)."""
        document = self._database.read(self._end)
        self._publisher.send_all([Outgoing(self._exchange, "watermark", wire.encode(document))])

    def _end(self, connection: sa.Connection) -> dict[str, Any]:
        last = connection.execute(sa.select(outbox_head.c.last_sequence)).scalar_one()
        event = outbox.last_upto(connection, last)
        return {
            "specversion": "1.0",
            "id": new_id(),
            "source": self._service,
            "type": "watermark",
            "sequence": event.sequence if event is not None else 0,
            "epoch": epochs.current(connection),
            "lastid": event.id if event is not None else None,
        }

    def _message(self, row: Any, epoch: str) -> Outgoing:
        link = json.dumps({"sequence": row.sequence, "epoch": epoch, "previousid": row.previous_id})
        body = f"{link[:-1]},{row.event[1:]}".encode()
        properties = {"delivery_mode": 2, "message_id": row.id}
        return Outgoing(self._exchange, row.type, body, properties=properties, mandatory=True)


def measure_lag(database: Database) -> float:
    """Return the age of the oldest unpublished event in seconds, 0 when there is none; tell the log of a long one.

    Every process of a service measures it when it is pinged, whoever relays (rule R26).
    """
    oldest = database.read(
        lambda c: c.execute(sa.select(sa.func.min(table.c.created_at)).where(table.c.sent_at.is_(None))).scalar()
    )
    seconds = max(0.0, time.time() - oldest.timestamp()) if oldest is not None else 0.0
    if seconds > _LAG_ALARM_SECONDS:
        _log.error("events wait to be published", oldest_seconds=round(seconds))
    return seconds


def _number(unit: Unit) -> int:
    """Give the oldest committed rows the next numbers, without gaps."""
    if unit.execute(sa.select(table.c.id).where(table.c.sequence.is_(None)).limit(1)).first() is None:
        return 0
    last = unit.execute(sa.select(outbox_head.c.last_sequence).with_for_update()).scalar_one()
    count = unit.execute(
        sa.update(table).where(table.c.id == _UNNUMBERED.c.id).values(sequence=_UNNUMBERED.c.place + last)
    ).rowcount
    unit.execute(sa.update(outbox_head).values(last_sequence=last + count))
    return int(count)


def _sweep(unit: Unit) -> bool:
    """Forget what was kept long enough, a piece at a time; tells whether there may be more."""
    claims = idempotency.sweep(unit.connection, unit.now)
    applied = reconcile.sweep_applied(unit.connection, unit.now - timedelta(days=reconcile.KEPT_DAYS))
    return claims >= idempotency.SWEPT or applied >= reconcile.SWEPT


def _mark(unit: Unit, sequences: list[int]) -> None:
    unit.execute(sa.update(table).where(table.c.sequence.in_(sequences)).values(sent_at=unit.now))


class Relay(DependencyProvider):
    """Declares that a service publishes its outbox; the relay runs while the service does."""

    holder = DatabaseExtension()

    def setup(self) -> None:
        """Ask to be woken by commits of this process."""
        self._stopped = False
        self._woken = Event()
        self._stop_asked = Event()
        self._publisher = Publisher(self.container.config["AMQP_URI"], confirms=True)
        self._relay = OutboxRelay(self.holder.database, self._publisher)
        outbox.on_commit(self.container.service_name, self._wake)

    def start(self) -> None:
        """Start relaying."""
        self._ended = Event()
        self.container.spawn_managed_thread(self._run)

    def stop(self) -> None:
        """Stop relaying after the running batch; what is left is published by the next process."""
        self._stopped = True
        self._stop_asked.send(True)
        outbox.forget(self.container.service_name)
        self._wake()
        self._ended.wait(timeout=LIMIT_SECONDS)
        self._publisher.close()

    def kill(self) -> None:
        """Stop at once."""
        self._stopped = True
        outbox.forget(self.container.service_name)
        self._publisher.close()

    def _wake(self) -> None:
        if not self._woken.ready():
            self._woken.send(True)

    def _run(self) -> None:
        backoff = _POLL_SECONDS
        while not self._stopped:
            try:
                self._relay_while_locked()
                backoff = _POLL_SECONDS
            except Exception as error:
                # The broker or the database is away, or no queue is bound; the rows are still there.
                if not self._stopped:
                    _log.warning("relay pauses", error=f"{type(error).__name__}: {error}"[:300], seconds=backoff)
                    eventlet.sleep(backoff)
                    backoff = min(backoff * 2, _MAX_BACKOFF_SECONDS)
        self._ended.send(True)

    def _relay_while_locked(self) -> None:
        database = self.holder.database
        if database.dialect != "postgresql":
            # One process has the file to itself (rule D7).
            self._relay_until_stopped(lambda: database.read(_has_unsent))
            return
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            # Out of the pool: closing it then ends the session, and with it the lock.
            connection.detach()
            # A holder that is frozen asks no more: its session ends, and with it the lock (rule R26).
            connection.exec_driver_sql(f"SET idle_session_timeout = '{LEASE_SECONDS}s'")
            key = zlib.crc32(f"relay:{database.service}".encode())
            while not connection.execute(sa.select(sa.func.pg_try_advisory_lock(key))).scalar_one():
                if self._stop_asked.wait(timeout=_LOCK_POLL_SECONDS):
                    return
            # Asked on the connection that holds the lock: if it is lost, so is the lock, and this fails.
            self._relay_until_stopped(lambda: _has_unsent(connection))

    def _relay_until_stopped(self, has_unsent: Callable[[], bool]) -> None:
        next_watermark, next_sweep = 0.0, time.monotonic() + SWEEP_SECONDS
        while not self._stopped:
            self._woken = Event()
            # Here, because of all processes of a service one at a time relays.
            if time.monotonic() >= next_sweep:
                next_sweep = time.monotonic() + (1.0 if self.holder.database.write(_sweep) else SWEEP_SECONDS)
            if time.monotonic() >= next_watermark:
                self._relay.watermark()
                next_watermark = time.monotonic() + WATERMARK_SECONDS
            if not has_unsent():
                self._woken.wait(timeout=_POLL_SECONDS)
                continue
            # Events of requests that run side by side go in one batch: a batch costs the database as much as one event.
            eventlet.sleep(_GATHER_SECONDS)
            if self._relay.step() == 0:
                raise BrokerDown("no event of the batch was taken")
