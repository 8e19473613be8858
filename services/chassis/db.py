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
from datetime import UTC, datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, CursorResult, Engine
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from services.chassis import idempotency, outbox
from services.chassis.context import Call
from services.chassis.errors import ServiceError, unavailable
from services.chassis.faults import fail_point
from services.chassis.keystore import KeyStore
from services.chassis.settings import Settings
from services.chassis.tables import UtcDateTime, service_metadata
from services.chassis.tables import outbox as outbox_table

__all__ = ["Database", "Unit", "UtcDateTime", "in_transaction", "insert_or_ignore", "service_metadata"]

T = TypeVar("T")
_SERIALIZATION_FAILURE, _DEADLOCK, _LOCK_NOT_AVAILABLE = "40001", "40P01", "55P03"
_ATTEMPTS = 6
_PG_OPTIONS = "-c statement_timeout=5000 -c lock_timeout=2000 -c idle_in_transaction_session_timeout=10000 -c timezone=UTC"

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


class Unit:
    """One running write transaction: its connection, its time, its events.

    Args:
        service: whose outbox gets the events.
        connection: of the transaction.
        call: who asked, None for the service's own work.
    """

    def __init__(self, service: str, connection: Connection, call: Call | None) -> None:
        self.service = service
        self.connection = connection
        self.call = call
        self.now = _database_time(connection)
        self.events: list[dict[str, Any]] = []

    def execute(self, statement: Any, parameters: Any = None) -> CursorResult[Any]:
        """Run a statement in this transaction."""
        result: CursorResult[Any] = self.connection.execute(statement, parameters)
        return result

    def emit(
        self,
        type: str,
        *,
        subject: str,
        data: Mapping[str, Any],
        company_id: str | None = None,
        project_id: str | None = None,
        device_id: str | None = None,
        hardware_id: str | None = None,
        actor_id: str | None = None,
        anonymous: bool = False,
    ) -> None:
        """Put an event into the outbox, to be published once the transaction is committed (rule R8).

        Args:
            type: noun_past name such as `licenses_assigned`.
            subject: id of the object that it is about.
            data: by the published schema; persons by id only, no secrets.
            company_id: the one company concerned; several companies mean several events.
            project_id, device_id, hardware_id: what it is about, for subscribers to filter by.
            actor_id: the person; taken from the caller's claims when absent.
            anonymous: leave out person and request, for an event to a company that must not learn who it was (S9).
        """
        call = self.call
        actor = actor_id or (call.claims.get("sub") if call is not None else None)
        attributes = {
            "subject": subject,
            "companyid": company_id,
            "projectid": project_id,
            "deviceid": device_id,
            "hardwareid": hardware_id,
            "actorid": None if anonymous else actor,
            "requestid": call.request_id if call is not None and not anonymous else None,
        }
        self.events.append(outbox.event_row(self.service, type, self.now, attributes, data))


class Database:
    """One service's database.

    Args:
        service: owner of the database.
        uri: SQLAlchemy address, `postgresql://` or `sqlite:///`.
        keystore: seals answers that hold secrets; needed for `command(sealed=True)`.
        pool_size: connections at most.
        without: protections switched off by a fault run (`idempotency`, `outbox`, …).
    """

    def __init__(
        self,
        service: str,
        uri: str,
        *,
        keystore: KeyStore | None = None,
        pool_size: int = 12,
        without: frozenset[str] = frozenset(),
    ) -> None:
        self.service = service
        self.keystore = keystore
        self.without = without
        self.engine = make_engine(uri, pool_size=pool_size)
        self.dialect = self.engine.dialect.name
        is_sqlite = self.dialect == "sqlite"
        self._reader = self.engine if is_sqlite else self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._snapshots = self.engine if is_sqlite else self.engine.execution_options(isolation_level="REPEATABLE READ")
        self._writer = self.engine.execution_options(immediate=True)
        # SQLite has one writer; a second one in this process would freeze it (rule D7, E37).
        self._write_lock = threading.Lock() if is_sqlite else None

    @classmethod
    def from_settings(cls, settings: Settings, service: str, *, pool_size: int = 12) -> Database:
        """Open the database of a service as the settings say, with the service's own keys for sealing."""
        return cls(
            service,
            settings.service_database_uri(service),
            keystore=KeyStore.from_settings(settings, service),
            pool_size=pool_size,
            without=settings.without,
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
                    raise _outage(error) from error
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
                    if unit.events and "outbox" not in self.without:
                        connection.execute(sa.insert(outbox_table), unit.events)
                    fail_point("db.before_commit")
                    committing = True
                    connection.commit()
            except DBAPIError as error:
                if attempt < _ATTEMPTS - 1 and _may_repeat(error, committing=committing):
                    time.sleep(random.uniform(0.005, 0.03) * (attempt + 1))
                    continue
                raise _outage(error) from error
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
    ) -> dict[str, Any] | None:
        """Run a write once per command id; a repetition gets the first answer or the first refusal (rules L5, R3).

        Args:
            call: carries the command id; the scope is the caller's company, else person, else `public`.
            name: of the command, part of the fingerprint.
            request: the loaded request, part of the fingerprint.
            work: the effect; returns the answer.
            scope: in place of the caller's.
            sealed: store the answer encrypted, because it holds a secret.

        Raises:
            idempotency.key_reused: the command id was used for another request.
            idempotency.in_progress: the first request with it still runs.
            service.unavailable: the outcome is not known.
        """
        _replayed.set(False)
        if "idempotency" in self.without:
            return self.write(work, call=call)
        claim = idempotency.Claim.of(call, name, request, scope=scope, keystore=self.keystore if sealed else None)

        def attempt(unit: Unit) -> dict[str, Any] | ServiceError | None:
            _replayed.set(False)
            if not claim.take(unit.connection, unit.now):
                _replayed.set(True)
                return claim.stored(unit.connection)
            savepoint = unit.connection.begin_nested()
            try:
                answer = work(unit)
            except ServiceError as refusal:
                if not refusal.is_final:
                    raise
                savepoint.rollback()
                unit.events.clear()
                claim.store_refusal(unit.connection, refusal)
                return refusal
            savepoint.commit()
            claim.store_answer(unit.connection, answer)
            return answer

        outcome = self.write(attempt, call=call)
        if isinstance(outcome, ServiceError):
            raise outcome
        return outcome

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def _exclusive(self) -> Any:
        if self._write_lock is None:
            yield
        else:
            with self._write_lock:
                yield

    def _announce(self, events: list[dict[str, Any]]) -> None:
        if "outbox" in self.without:
            outbox.send_directly(self.service, events)
        else:
            outbox.wake(self.service)


def make_engine(uri: str, *, pool_size: int = 12) -> Engine:
    """Return an engine with the house's limits: timeouts in the server, WAL and full sync on SQLite (rules D2, D4, D7)."""
    if uri.startswith("sqlite"):
        engine = sa.create_engine(uri, connect_args={"check_same_thread": False, "timeout": 0.25}, pool_size=pool_size)
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    uri = uri.replace("postgresql://", "postgresql+psycopg2://", 1)
    return sa.create_engine(
        uri,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=5,
        connect_args={"connect_timeout": 3, "tcp_user_timeout": 5000, "options": _PG_OPTIONS},
    )


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver must not begin transactions by itself: it would begin them deferred (rule D7).
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=250"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _database_time(connection: Connection) -> datetime:
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    now: datetime = connection.exec_driver_sql("SELECT now()").scalar_one()
    return now


@contextmanager
def _counted() -> Any:
    token = _open_units.set(_open_units.get() + 1)
    try:
        yield
    finally:
        _open_units.reset(token)


def _may_repeat(error: DBAPIError, *, committing: bool) -> bool:
    code = getattr(error.orig, "pgcode", None)
    if code in (_SERIALIZATION_FAILURE, _DEADLOCK):
        return True
    # Before COMMIT was sent a lost connection has changed nothing; after it, only the command id can tell (rule L6).
    return error.connection_invalidated and not committing


def _outage(error: SQLAlchemyError) -> Exception:
    if isinstance(error, DBAPIError) and getattr(error.orig, "pgcode", None) == _LOCK_NOT_AVAILABLE:
        return unavailable(detail="Another request holds what this one needs; nothing was changed. Repeat it.")
    if isinstance(error, OperationalError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return unavailable()
    return error
