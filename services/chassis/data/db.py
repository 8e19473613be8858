"""Databases and units of work: one transaction, its events, its command id; PostgreSQL and SQLite alike (rules D1-D7).

No room opens a connection of its own. What a room stores does not belong here.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from services.chassis.context import Call
from services.chassis.data import idempotency, outbox
from services.chassis.data.engine import make_engine, may_repeat, outage
from services.chassis.data.tables import UtcDateTime, service_metadata
from services.chassis.data.tables import outbox as outbox_table
from services.chassis.data.unit import Unit
from services.chassis.errors import ServiceError
from services.chassis.faults import fail_point
from services.chassis.keys.keystore import KeyStore
from services.chassis.settings import Settings

__all__ = ["Database", "Unit", "UtcDateTime", "in_transaction", "insert_or_ignore", "service_metadata"]

T = TypeVar("T")
_ATTEMPTS = 6

_open_units: ContextVar[int] = ContextVar("open_units", default=0)
_replayed: ContextVar[bool] = ContextVar("replayed", default=False)


def in_transaction() -> bool:
    """Tell whether this green thread has a transaction open, in which no call may be made (rule D3)."""
    return _open_units.get() > 0


def last_was_replay() -> bool:
    """Tell whether the last command of this green thread was a replay, and forget it."""
    replayed = _replayed.get()
    _replayed.set(False)
    return replayed


def insert_or_ignore(connection: Connection, table: Any, values: Mapping[str, Any]) -> bool:
    """Insert one row unless its key is there already; returns whether it was inserted.

    Args:
        connection: of the running transaction.
        table: a mapped class or table.
        values: by column name.
    """
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return connection.execute(make(table).values(**values).on_conflict_do_nothing()).rowcount == 1


class _RefusedError(Exception):
    """Carries a room's refusal through the rollback of its transaction."""

    def __init__(self, refusal: ServiceError) -> None:
        super().__init__(refusal)
        self.refusal = refusal


class Database:
    """One service's database.

    Args:
        service: owner of the database.
        uri: SQLAlchemy address, `postgresql://` or `sqlite:///`.
        keystore: seals answers that hold secrets; needed for `command(sealed=True)`.
        pool_size: connections at most, for writes and for reads each.
    """

    def __init__(
        self,
        service: str,
        uri: str,
        *,
        keystore: KeyStore | None = None,
        pool_size: int = 10,
    ) -> None:
        self.service = service
        self.keystore = keystore
        self.engine = make_engine(uri, pool_size=pool_size)
        self.dialect = self.engine.dialect.name
        is_sqlite = self.dialect == "sqlite"
        # Reads have a pool of their own: to switch a connection between the two modes costs as much as a short read.
        self._reader = self.engine if is_sqlite else make_engine(uri, pool_size=pool_size, autocommit=True)
        self._snapshots = self.engine if is_sqlite else self.engine.execution_options(isolation_level="REPEATABLE READ")
        self.engines = {"write": self.engine} if is_sqlite else {"write": self.engine, "read": self._reader}
        self._writer = self.engine.execution_options(immediate=True)
        # SQLite has one writer; a second one in this process would freeze it (rule D7).
        self._write_lock = threading.Lock() if is_sqlite else None

    @classmethod
    def from_settings(cls, settings: Settings, service: str, *, pool_size: int = 10) -> Database:
        """Open the database of a service as the settings say, with the service's own keys for sealing."""
        return cls(
            service,
            settings.service_database_uri(service),
            keystore=KeyStore.from_settings(settings, service),
            pool_size=pool_size,
        )

    def read(self, work: Callable[[Connection], T], *, snapshot: bool = False) -> T:
        """Run reading work; statements see the newest committed state each, or one state with `snapshot`.

        Raises:
            service.unavailable: the database does not answer.
        """
        reader = self._snapshots if snapshot else self._reader
        for attempt in range(_ATTEMPTS):
            try:
                with _counted(), reader.connect() as connection:
                    return work(connection)
            except DBAPIError as error:
                if attempt > 1 or not error.connection_invalidated:
                    raise outage(error) from error
            except NoConnectionFree as error:
                raise outage(error) from error
        raise AssertionError("unreachable")

    def write(self, work: Callable[[Unit], T], *, call: Call | None = None) -> T:
        """Run work in one transaction and commit; deadlocks and serialization failures are retried (rule L3).

        Args:
            work: gets the unit; may run more than once, so it must have no effect outside it.
            call: on whose behalf, for the events.

        Raises:
            service.unavailable: the database does not answer, or the outcome of the commit is not known (rule L6).
        """
        for attempt in range(_ATTEMPTS):
            committing = False
            try:
                with _counted(), self._exclusive(), self._writer.connect() as connection:
                    unit = Unit(self.service, connection, call)
                    result = work(unit)
                    self._finish(unit)
                    fail_point("db.before_commit")
                    committing = True
                    connection.commit()
            except DBAPIError as error:
                if attempt < _ATTEMPTS - 1 and may_repeat(error, committing=committing):
                    time.sleep(random.uniform(0.005, 0.03) * (attempt + 1))  # noqa: S311 - jitter
                    continue
                raise outage(error) from error
            except NoConnectionFree as error:
                raise outage(error) from error
            fail_point("db.after_commit")
            if unit.events:
                self._announce(unit.events)
            return result
        raise AssertionError("unreachable")

    def command(
        self,
        call: Call,
        name: str,
        request: Mapping[str, Any],
        work: Callable[[Unit], dict[str, Any] | None],
        *,
        scope: str | None = None,
        sealed: bool = False,
        on_refusal: Callable[[Unit, ServiceError], None] | None = None,
    ) -> dict[str, Any] | None:
        """Run a write once per command id; a repetition gets the first answer or the first refusal (rules L5, R3).

        Args:
            call: carries the command id; the scope is the caller's company, else person, else `public`.
            name: of the command, part of the fingerprint.
            request: the loaded request, part of the fingerprint.
            work: the effect; returns the answer.
            scope: in place of the caller's.
            sealed: store the answer encrypted, because it holds a secret.
            on_refusal: the effect of a final refusal (an event, a count), in the transaction that stores it: once too.

        Raises:
            idempotency.key_reused: the command id was used for another request.
            idempotency.in_progress: the first request with it still runs.
            service.unavailable: the outcome is not known.
        """
        _replayed.set(False)
        claim = idempotency.Claim.of(call, name, request, scope=scope, keystore=self.keystore if sealed else None)

        def attempt(unit: Unit) -> dict[str, Any] | ServiceError | None:
            _replayed.set(False)
            if not unit.claim(claim):
                return _repeated(claim, unit)
            try:
                answer = work(unit)
                claim.store_answer(unit.connection, answer)
                self._finish(unit)
            except ServiceError as refusal:
                raise _RefusedError(refusal) from refusal
            return answer

        try:
            outcome = self.write(attempt, call=call)
        except _RefusedError as error:
            outcome = refusal = error.refusal
            if refusal.is_final:
                outcome = self.write(lambda unit: self._note_refusal(unit, claim, refusal, on_refusal), call=call)
        if isinstance(outcome, ServiceError):
            outcome.settled = outcome.is_final
            raise outcome
        return outcome

    def answered(
        self, call: Call, name: str, request: Mapping[str, Any], *, scope: str | None = None, sealed: bool = False
    ) -> dict[str, Any] | None:
        """Return what a command answered when it ran with this id for this request, None if it did not.

        Args:
            call: carries the command id.
            name: of the command, as it is given to `command`.
            request: as it is given to `command`.
            scope, sealed: as they are given to `command`.

        Raises: the refusal that it answered then.
        """
        claim = idempotency.Claim.of(call, name, request, scope=scope, keystore=self.keystore if sealed else None)
        answer = self.read(claim.answered)
        _replayed.set(answer is not None)
        if isinstance(answer, ServiceError):
            raise answer
        return answer

    def _note_refusal(
        self,
        unit: Unit,
        claim: idempotency.Claim,
        refusal: ServiceError,
        effect: Callable[[Unit, ServiceError], None] | None,
    ) -> dict[str, Any] | ServiceError | None:
        # The rollback freed the claim. A parallel repetition may have taken it since: then its outcome is the one.
        if unit.claim(claim):
            claim.store_refusal(unit.connection, refusal)
            if effect is not None:
                effect(unit, refusal)
            return refusal
        return _repeated(claim, unit)

    def close(self) -> None:
        """Close all connections."""
        self._reader.dispose()
        self.engine.dispose()

    @contextmanager
    def _exclusive(self) -> Any:
        if self._write_lock is None:
            yield
        else:
            with self._write_lock:
                yield

    def _finish(self, unit: Unit) -> None:
        """Store the events that are not stored yet, then do what was left to the end."""
        self._keep(unit)
        unit.finish()

    def _keep(self, unit: Unit) -> None:
        """Put the events into the outbox, in the transaction that made them (rule R8)."""
        if events := unit.events[unit.stored_events :]:
            unit.connection.execute(sa.insert(outbox_table), events)
            unit.stored_events += len(events)

    def _announce(self, events: list[dict[str, Any]]) -> None:
        """Tell the relay of this process that there are events; a fault run's substitute sends them itself."""
        outbox.wake(self.service)


def _repeated(claim: idempotency.Claim, unit: Unit) -> dict[str, Any] | ServiceError | None:
    """Return what is stored for a claim that was taken before; another request under its id is no repetition."""
    stored = claim.stored(unit.connection)
    _replayed.set(True)
    return stored


@contextmanager
def _counted() -> Any:
    token = _open_units.set(_open_units.get() + 1)
    try:
        yield
    finally:
        _open_units.reset(token)
