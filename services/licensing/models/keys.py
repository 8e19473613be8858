"""Tables of orders and activation keys, of wrong keys that were tried, and the copies of projects. No behavior."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, LargeBinary, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.data.db import UtcDateTime
from services.licensing.models.base import Base

_CREATED = text("state = 'open' AND project_id IS NOT NULL")


class ActivationKey(Base):
    """A key: found by the digest of its text, the text itself sealed; what it holds is in its pool until it is used.

    `used_*` tell who added it to which project; `company_id` and `project_id` are set for keys created from a balance.
    """

    __tablename__ = "activation_keys"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'used', 'cancelled', 'expired')", name="state_known"),
        CheckConstraint("(state = 'used') = (used_project_id IS NOT NULL)", name="used_where_known"),
        UniqueConstraint("digest"),
        Index("ix_activation_keys_used", "used_project_id", "used_at", "id"),
        Index("ix_activation_keys_created", "project_id", postgresql_where=_CREATED, sqlite_where=_CREATED),
        Index("ix_activation_keys_company_id", "company_id"),
        Index("ix_activation_keys_used_company_id", "used_company_id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    last_group: Mapped[str] = mapped_column(String(5))
    state: Mapped[str] = mapped_column(String(9))
    licenses: Mapped[list[list[str | int]]] = mapped_column(JSON)
    order_number: Mapped[str | None] = mapped_column(String(64))
    company_id: Mapped[str | None] = mapped_column(String(36))
    project_id: Mapped[str | None] = mapped_column(String(36))
    created_by: Mapped[str] = mapped_column(String(36))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    used_project_id: Mapped[str | None] = mapped_column(ForeignKey("projects.id"))
    used_company_id: Mapped[str | None] = mapped_column(String(36))
    used_by: Mapped[str | None] = mapped_column(String(36))
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    comment: Mapped[str] = mapped_column(String(500))


class KeyAttempt(Base):
    """One wrong key that was entered, kept for an hour, so that guessing is slow (S3)."""

    __tablename__ = "key_attempts"
    __table_args__ = (
        Index("ix_key_attempts_user", "user_id", "at"),
        Index("ix_key_attempts_company", "company_id", "at"),
    )

    id: Mapped[str] = mapped_column(String(400), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(36))
    company_id: Mapped[str | None] = mapped_column(String(36))
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class KeyGuesser(Base):
    """A person or a company that enters keys: its row is held while one is looked up and counted."""

    __tablename__ = "key_guessers"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)


ENTERED_ONLY = text("state = 'entered'")


class Order(Base):
    """An order of the vendor, a saga's row (L8): `entered` until devices has its devices and the key is made."""

    __tablename__ = "orders"
    __table_args__ = (
        CheckConstraint("state IN ('entered', 'done')", name="state_known"),
        Index("ix_orders_created", "created_at", "number"),
        # The few that are under way or were left half-way.
        Index("ix_orders_entered", "created_at", postgresql_where=ENTERED_ONLY, sqlite_where=ENTERED_ONLY),
    )

    number: Mapped[str] = mapped_column(String(64), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(8))
    customer_name: Mapped[str] = mapped_column(String(200))
    customer_reference: Mapped[str] = mapped_column(String(200))
    devices: Mapped[list[dict[str, str]]] = mapped_column(JSON)
    licenses: Mapped[list[list[str | int]]] = mapped_column(JSON)
    key_id: Mapped[str | None] = mapped_column(ForeignKey("activation_keys.id"))
    created_by: Mapped[str] = mapped_column(String(36))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    resumed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Project(Base):
    """This room's copy of a project: whose it is, its name, whether it takes licenses, and its pool.

    `version` is the project's, so that an older answer never replaces a newer event. `closing_id` names the deletion
    for which the project is closed here, whatever its events have said so far; it stays when the project is gone.
    """

    __tablename__ = "projects"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'archived', 'closed')", name="state_known"),
        Index("ix_projects_company_id", "company_id"),
        Index("ix_projects_closing_id", "closing_id", unique=True),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    company_id: Mapped[str] = mapped_column(String(36))
    name: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(8))
    pool_id: Mapped[str] = mapped_column(ForeignKey("pools.id"), unique=True)
    version: Mapped[int] = mapped_column(server_default="0")
    closing_id: Mapped[str | None] = mapped_column(String(36))


class GuestRight(Base):
    """Whether the right of a company in another one's project has ended, as projects told it last."""

    __tablename__ = "guest_rights"

    project_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    company_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    ended: Mapped[bool]
