"""Table of the deletions of projects, a saga's rows (PRJ-4, L8). No behavior."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, CheckConstraint, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.data.db import UtcDateTime
from services.licensing.models.base import Base

_LIVE = text("state IN ('counting', 'closing')")
_UNTOLD = text("NOT told")


class ProjectDeletion(Base):
    """One deletion of a project: `counting` and `closing` are under way, the other states are settled.

    `closing_id` is the name under which the rooms close the project, a new one for each attempt. `blockers` is what was
    in the way, by kind. `told` tells whether every room has learned how it was settled.
    """

    __tablename__ = "project_deletions"
    __table_args__ = (
        CheckConstraint("state IN ('counting', 'closing', 'deleted', 'refused', 'abandoned')", name="state_known"),
        Index("ix_project_deletions_project_id", "project_id"),
        # A project is deleted by one at a time; whoever comes second joins it.
        Index("uq_project_deletions_live", "project_id", unique=True, postgresql_where=_LIVE, sqlite_where=_LIVE),
        Index("ix_project_deletions_untold", "started_at", postgresql_where=_UNTOLD, sqlite_where=_UNTOLD),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(36))
    company_id: Mapped[str] = mapped_column(String(36))
    closing_id: Mapped[str] = mapped_column(String(36), unique=True)
    state: Mapped[str] = mapped_column(String(10))
    blockers: Mapped[dict[str, int]] = mapped_column(JSON)
    created_by: Mapped[str] = mapped_column(String(36))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    settled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    told: Mapped[bool]
