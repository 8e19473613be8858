"""Tables of the catalogue: what can be licensed, for which models, how much of it (LIC-12). No behavior."""

from __future__ import annotations

from sqlalchemy import JSON, CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from services.licensing.models.base import Base


class LicenseType(Base):
    """A license type; `position` is its place in lists."""

    __tablename__ = "license_types"
    __table_args__ = (
        CheckConstraint("measure IN ('size', 'count')", name="measure_known"),
        CheckConstraint("category IN ('pbx', 'gateway', 'device')", name="category_known"),
        CheckConstraint("(measure = 'size') = (size IS NOT NULL)", name="size_given"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    version: Mapped[int | None]
    kind: Mapped[str] = mapped_column(String(40))
    measure: Mapped[str] = mapped_column(String(8))
    category: Mapped[str] = mapped_column(String(8))
    size: Mapped[int | None]
    from_size: Mapped[int | None]
    limit: Mapped[str | None] = mapped_column(String(20))
    cap: Mapped[int | None]
    returnable: Mapped[bool]
    movable: Mapped[bool]
    from_stock: Mapped[bool]
    position: Mapped[int]


class DeviceType(Base):
    """A model with its maxima by limit name; `origin` is `default` until staff has edited it."""

    __tablename__ = "device_types"
    __table_args__ = (CheckConstraint("origin IN ('default', 'staff')", name="origin_known"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    category: Mapped[str] = mapped_column(String(20))
    warranty_months: Mapped[int]
    maxima: Mapped[dict[str, int]] = mapped_column(JSON)
    origin: Mapped[str] = mapped_column(String(8))


class CatalogueVersion(Base):
    """A firmware generation and whether new licenses are made for it (LIC-1)."""

    __tablename__ = "catalogue_versions"

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    offered: Mapped[bool]


class CatalogueState(Base):
    """One row that counts the edits, so that a process knows when its copy is old."""

    __tablename__ = "catalogue_state"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    revision: Mapped[int]
