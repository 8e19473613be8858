"""The chassis's own tables, the same in each service's database: claims, outbox and its epochs, positions, retries."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnElement
from sqlalchemy.types import TypeDecorator

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class NaiveTimeError(ValueError):
    """A time without a zone was to be stored; the text holds no value."""


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time in UTC; naive values are refused, and SQLite gets the zone back on reading."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive values and store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise NaiveTimeError("A time without a zone was given to the database.")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return the value with its zone."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def service_metadata() -> sa.MetaData:
    """Return a new collection of tables with the house's naming of constraints."""
    return sa.MetaData(naming_convention=NAMING)


metadata = service_metadata()

idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column("scope", sa.String(80), primary_key=True),
    sa.Column("key", sa.String(400), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("answer", sa.LargeBinary),
    sa.Column("refusal", sa.Text),
    sa.Column("created_at", UtcDateTime, nullable=False, index=True),
)

EMISSIONS = sa.Sequence("outbox_emissions", metadata=metadata)


class NextEmission(ColumnElement[int]):
    """The next number of an emission: given by the database when the row is written, which no clock has a part in."""

    inherit_cache = True
    type = sa.BigInteger()


@compiles(NextEmission, "postgresql")
def _next_on_postgresql(element: NextEmission, compiler: Any, **_: Any) -> str:
    return f"nextval('{EMISSIONS.name}')"


@compiles(NextEmission, "sqlite")
def _next_on_sqlite(element: NextEmission, compiler: Any, **_: Any) -> str:
    # There is one writer at a time.
    return "(SELECT coalesce(max(emission), 0) + 1 FROM outbox)"


outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("sequence", sa.BigInteger, unique=True),
    # The last that a transaction does before its commit: what it has read or waited for has a lower one (rule L19).
    sa.Column("emission", sa.BigInteger, default=NextEmission(), nullable=False),
    sa.Column("type", sa.String(80), nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("sent_at", UtcDateTime),
)
# Partial indexes keep the relay's two questions cheap however long the log is.
sa.Index("ix_outbox_emission", outbox.c.emission)
sa.Index(
    "ix_outbox_unnumbered",
    outbox.c.emission,
    postgresql_where=outbox.c.sequence.is_(None),
    sqlite_where=outbox.c.sequence.is_(None),
)
sa.Index(
    "ix_outbox_unsent",
    outbox.c.sequence,
    postgresql_where=outbox.c.sent_at.is_(None),
    sqlite_where=outbox.c.sent_at.is_(None),
)

outbox_head = sa.Table(
    "outbox_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("last_sequence", sa.BigInteger, nullable=False),
)

log_epochs = sa.Table(
    "log_epochs",
    metadata,
    sa.Column("epoch", sa.String(36), primary_key=True),
    # Sequences between `previous_end` and `start` are in nobody's log any more and are never given again.
    sa.Column("start", sa.BigInteger, nullable=False, unique=True),
    sa.Column("previous_end", sa.BigInteger, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
)

positions = sa.Table(
    "positions",
    metadata,
    sa.Column("source", sa.String(40), primary_key=True),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    # The source's epoch when it was last read, and the event applied last: a restored source knows another one there.
    sa.Column("epoch", sa.String(36)),
    sa.Column("event_id", sa.String(36)),
    sa.Column("stopped_at", UtcDateTime),
    sa.Column("stopped_because", sa.Text),
    sa.Column("updated_at", UtcDateTime, nullable=False),
)

applied_events = sa.Table(
    "applied_events",
    metadata,
    sa.Column("source", sa.String(40), primary_key=True),
    sa.Column("event_id", sa.String(36), primary_key=True),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("type", sa.String(80), nullable=False),
    sa.Column("subject", sa.String(128), nullable=False),
    sa.Column("applied_at", UtcDateTime, nullable=False, index=True),
    # When it was found that the source, restored to an older state, knows the event no more.
    sa.Column("lost_at", UtcDateTime),
)
sa.Index("ix_applied_events_sequence", applied_events.c.source, applied_events.c.sequence)

retry_events = sa.Table(
    "retry_events",
    metadata,
    sa.Column("event_id", sa.String(36), primary_key=True),
    sa.Column("source", sa.String(40), nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", UtcDateTime),
    sa.Column("parked_at", UtcDateTime),
    sa.Column("reason", sa.Text, nullable=False),
)
