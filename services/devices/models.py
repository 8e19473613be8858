"""Tables of devices: what the vendor built, who has it, copies of projects, and look-ups that are counted. No behavior.

A row of `devices` is one company's record; what belongs to the thing itself (type, dates, RMA mark) is in `production`.
"""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, String, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.chassis.data.db import UtcDateTime, service_metadata

_LIVE = text("deleted_at IS NULL")


class Base(DeclarativeBase):
    """The mapped classes of devices."""

    metadata = service_metadata()


class ProductionOrder(Base):
    """An order of the vendor's under which devices were shipped; its number is the secret that shows them."""

    __tablename__ = "production_orders"

    number: Mapped[str] = mapped_column(String(64), primary_key=True)
    registered_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Production(Base):
    """One built device, by its hardware id, with its own dates and its RMA mark."""

    __tablename__ = "production"
    __table_args__ = (
        CheckConstraint("kind IN ('mac', 'ipei')", name="kind_known"),
        CheckConstraint("warranty_months BETWEEN 0 AND 120", name="warranty_months_in_range"),
        CheckConstraint("extension_months >= 0", name="extension_months_not_negative"),
        Index("ix_production_order_number", "order_number"),
    )

    hardware_id: Mapped[str] = mapped_column(String(17), primary_key=True)
    kind: Mapped[str] = mapped_column(String(4))
    type: Mapped[str] = mapped_column(String(40))
    order_number: Mapped[str] = mapped_column(ForeignKey("production_orders.number"))
    shipped_on: Mapped[date | None]
    warranty_months: Mapped[int]
    extension_months: Mapped[int] = mapped_column(server_default="0")
    ssa_ends_on: Mapped[date | None]
    rma: Mapped[bool] = mapped_column(default=False)
    registered_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Project(Base):
    """This room's copy of a project: whose it is and whether it takes devices."""

    __tablename__ = "projects"
    __table_args__ = (
        UniqueConstraint("id", "company_id"),
        CheckConstraint("state IN ('open', 'archived', 'closed')", name="state_known"),
        Index("ix_projects_closing_id", "closing_id", unique=True),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    company_id: Mapped[str] = mapped_column(String(36))
    name: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(8))
    # Of the project, so that what was asked a moment ago never replaces what an event told since.
    version: Mapped[int] = mapped_column(server_default="0")
    # Closed by this room for what is under way; apart from `state`, which late events may still set.
    closing_id: Mapped[str | None] = mapped_column(String(36))
    # Until when at most: a deletion is always ended by licensing, an archiving that was cut off ends by itself.
    closing_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Device(Base):
    """A company's record of a device; a deleted one stays as a tombstone (rule L11)."""

    __tablename__ = "devices"
    __table_args__ = (
        # The company of a record is the company of its project (invariant I10), kept by the database.
        ForeignKeyConstraint(["project_id", "company_id"], ["projects.id", "projects.company_id"], onupdate="CASCADE"),
        CheckConstraint("version >= 1", name="version_positive"),
        # Once per company (DEV-5), tombstones aside.
        Index(
            "uq_devices_company_id_hardware_id",
            "company_id",
            "hardware_id",
            unique=True,
            postgresql_where=_LIVE,
            sqlite_where=_LIVE,
        ),
        Index(
            "ix_devices_project_id_hardware_id", "project_id", "hardware_id", postgresql_where=_LIVE, sqlite_where=_LIVE
        ),
        Index("ix_devices_hardware_id", "hardware_id", postgresql_where=_LIVE, sqlite_where=_LIVE),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    company_id: Mapped[str] = mapped_column(String(36))
    project_id: Mapped[str] = mapped_column(String(36))
    hardware_id: Mapped[str] = mapped_column(ForeignKey("production.hardware_id"))
    # Only where the company added it by the order's number: another holder must not learn that secret.
    order_number: Mapped[str | None] = mapped_column(String(64))
    # What proved that the company possesses the device (DEV-15); None for a claim, which the number on a box is.
    proven_by: Mapped[str | None] = mapped_column(String(12))
    comment: Mapped[str] = mapped_column(String(500), default="")
    license_comment: Mapped[str] = mapped_column(String(500), default="")
    version: Mapped[int] = mapped_column(default=1)
    added_at: Mapped[datetime] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Throttle(Base):
    """The lock under which one person's look-ups of one kind are counted."""

    __tablename__ = "throttles"

    user_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)


class Lookup(Base):
    """Something of others that a person looked up in the last hour (rules S3, S9); repetitions count once."""

    __tablename__ = "lookups"
    __table_args__ = (ForeignKeyConstraint(["user_id", "kind"], ["throttles.user_id", "throttles.kind"]),)

    user_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
