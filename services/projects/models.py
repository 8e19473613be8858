"""Tables of projects. No behavior."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy import UniqueConstraint as Unique
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.chassis.data.db import UtcDateTime, service_metadata


class Base(DeclarativeBase):
    """Base of the tables of projects."""

    metadata = service_metadata()


class Project(Base):
    """A project of a company; `name_normalized` is what the database holds unique in the company (PRJ-1).

    `closing_id` names the deletion for which the project is closed; whatever its state, it takes nothing then (PRJ-4).
    """

    __tablename__ = "projects"
    __table_args__ = (
        Unique("company_id", "name_normalized"),
        CheckConstraint("state IN ('open', 'archived', 'closed')", name="state"),
        Index("ix_projects_closing_id", "closing_id", unique=True),
    )
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    company_id: Mapped[str] = mapped_column(String(36))
    name: Mapped[str] = mapped_column(String(64))
    # Folding case can make a text longer, at most threefold.
    name_normalized: Mapped[str] = mapped_column(String(192))
    description: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    version: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(String(36))
    closing_id: Mapped[str | None] = mapped_column(String(36))


class FirstProject(Base):
    """Which project a company was given at first; the row makes sure that there is only one such gift."""

    __tablename__ = "first_projects"
    company_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(36))


class ProjectRight(Base):
    """A company that may work in another company's project (PRJ-3)."""

    __tablename__ = "project_rights"
    __table_args__ = (Index("ix_project_rights_company_id", "company_id"),)
    project_id: Mapped[str] = mapped_column(String(36), ForeignKey(Project.id), primary_key=True)
    company_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(String(36))


class Selection(Base):
    """The project that a user chose for all pages, per company (PRJ-2)."""

    __tablename__ = "selections"
    user_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    company_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(36))


class Company(Base):
    """The name of a company as accounts told it; `sequence` is that of the event, 0 of an answer (names.py)."""

    __tablename__ = "companies"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    sequence: Mapped[int] = mapped_column(BigInteger)
