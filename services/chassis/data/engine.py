"""Engines with the house's limits, and what a database error means for the caller (rules D2, D4, D7, L3, L6)."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from services.chassis.data.engine_errors import hide_values
from services.chassis.errors import unavailable

_SERIALIZATION_FAILURE, _DEADLOCK, _LOCK_NOT_AVAILABLE = "40001", "40P01", "55P03"
_PG_OPTIONS = " ".join(
    f"-c {setting}"
    for setting in (
        "statement_timeout=5000",
        "lock_timeout=2000",
        "idle_in_transaction_session_timeout=10000",
        # The server ends sessions of a host that is gone, and their locks with them, within seconds (rule R26).
        "tcp_keepalives_idle=5",
        "tcp_keepalives_interval=2",
        "tcp_keepalives_count=3",
        "tcp_user_timeout=10000",
        "timezone=UTC",
    )
)


class CountingPool(QueuePool):
    """Connections, with how often and how long somebody waited for one; `most` is how many there may be."""

    def __init__(self, creator: Any, pool_size: int = 5, max_overflow: int = 10, **options: Any) -> None:
        super().__init__(creator, pool_size=pool_size, max_overflow=max_overflow, **options)
        self.most = pool_size + max_overflow
        self.waits = 0
        self.waited_seconds = 0.0

    def connect(self) -> PoolProxiedConnection:
        """Return a connection, a free one if there is any."""
        if self.checkedout() < self.most:
            return super().connect()
        self.waits += 1
        started = time.perf_counter()
        try:
            return super().connect()
        finally:
            self.waited_seconds += time.perf_counter() - started


def make_engine(uri: str, *, pool_size: int = 10, autocommit: bool = False) -> Engine:
    """Return an engine with the house's limits: timeouts in the server, WAL on SQLite (rules D2, D4, D7)."""
    if uri.startswith("sqlite"):
        engine = sa.create_engine(
            uri,
            connect_args={"check_same_thread": False, "timeout": 0.25},
            poolclass=CountingPool,
            pool_size=pool_size,
            hide_parameters=True,
        )
        sa.event.listen(engine, "handle_error", hide_values)
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    uri = uri.replace("postgresql://", "postgresql+psycopg2://", 1)
    engine = sa.create_engine(
        uri,
        hide_parameters=True,
        poolclass=CountingPool,
        pool_size=pool_size,
        max_overflow=0,
        # With a value of None the driver's own default stays, which begins transactions by itself.
        **({"isolation_level": "AUTOCOMMIT"} if autocommit else {}),
        pool_timeout=5,
        connect_args={"connect_timeout": 3, "tcp_user_timeout": 5000, "options": _PG_OPTIONS},
    )
    sa.event.listen(engine, "handle_error", hide_values)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver must not begin transactions by itself: it would begin them deferred (rule D7).
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=250"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def may_repeat(error: DBAPIError, *, committing: bool) -> bool:
    """Tell whether a failed transaction has certainly changed nothing and may be run again (rules L3, L6)."""
    code = getattr(error.orig, "pgcode", None)
    if code in (_SERIALIZATION_FAILURE, _DEADLOCK):
        return True
    # Before COMMIT was sent a lost connection has changed nothing; after it, only the command id can tell (rule L6).
    return error.connection_invalidated and not committing


def outage(error: SQLAlchemyError) -> Exception:
    """Return what a caller is told about a database error: an unknown outcome, or the error itself when it is a bug."""
    if isinstance(error, DBAPIError) and getattr(error.orig, "pgcode", None) == _LOCK_NOT_AVAILABLE:
        return unavailable(detail="Another request holds what this one needs; nothing was changed. Repeat it.")
    if isinstance(error, NoConnectionFree):
        return unavailable(detail="Every connection to the database is in use; nothing was changed. Repeat it.")
    if isinstance(error, OperationalError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return unavailable()
    return error
