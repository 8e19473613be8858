"""Tables of history: the lines, and where each chain stands. No behavior.

Lines are never changed or deleted; triggers made by the first migration refuse it on both databases.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, String, Text, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.chassis.data.db import UtcDateTime, service_metadata

# SQLite numbers rows by itself only in a column declared INTEGER.
Position = BigInteger().with_variant(Integer(), "sqlite")

# The few lines that say whose a project is and who may work in it, found without reading all others of a company.
# As text, because a database takes such an index only for the very same condition.
CREATIONS = text("source = 'projects' AND action = 'project_created'")
RIGHTS = text("source = 'projects' AND action IN ('project_right_granted', 'project_right_removed')")


class Base(DeclarativeBase):
    """The mapped classes of history."""

    metadata = service_metadata()


class Line(Base):
    """One event of a source, chained to the line before it in its company's chain."""

    __tablename__ = "lines"
    __table_args__ = (
        UniqueConstraint("event_id"),
        UniqueConstraint("chain", "number"),
        CheckConstraint("number >= 1", name="number_positive"),
        Index("ix_lines_company_at", "company_id", "at", "position"),
        Index("ix_lines_actor_at", "actor_id", "at", "position"),
        Index("ix_lines_device_at", "device_id", "at", "position"),
        Index("ix_lines_hardware_at", "hardware_id", "at", "position"),
        Index("ix_lines_project_at", "project_id", "at", "position"),
        Index("ix_lines_subject", "subject", "at", "position"),
        Index("ix_lines_at", "at", "position"),
        Index("ix_lines_creations", "project_id", postgresql_where=CREATIONS, sqlite_where=CREATIONS),
        Index("ix_lines_rights", "company_id", "position", postgresql_where=RIGHTS, sqlite_where=RIGHTS),
        # Not unique: a source that was restored gives the sequences of what it lost to other events (rule R25).
        Index("ix_lines_source_sequence", "source", "source_sequence"),
    )

    position: Mapped[int] = mapped_column(Position, primary_key=True, autoincrement=True)
    event_id: Mapped[str] = mapped_column(String(64))
    source: Mapped[str] = mapped_column(String(32))
    source_sequence: Mapped[int] = mapped_column(BigInteger)
    action: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    subject: Mapped[str] = mapped_column(String(128))
    company_id: Mapped[str | None] = mapped_column(String(36))
    project_id: Mapped[str | None] = mapped_column(String(36))
    device_id: Mapped[str | None] = mapped_column(String(36))
    hardware_id: Mapped[str | None] = mapped_column(String(32))
    actor_id: Mapped[str | None] = mapped_column(String(36))
    request_id: Mapped[str | None] = mapped_column(String(128))
    data: Mapped[str] = mapped_column(Text)
    chain: Mapped[str] = mapped_column(String(36))
    number: Mapped[int] = mapped_column(BigInteger)
    previous_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class Chain(Base):
    """Where a chain stands; its row is the lock under which lines are appended (rule L15)."""

    __tablename__ = "chains"
    __table_args__ = (CheckConstraint("count >= 0", name="count_not_negative"),)

    chain: Mapped[str] = mapped_column(String(36), primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))
