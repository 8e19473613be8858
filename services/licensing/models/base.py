"""The one collection of licensing's tables."""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase

from services.chassis.data.db import service_metadata


class Base(DeclarativeBase):
    """Base of licensing's mapped tables, with the house's naming of constraints."""

    metadata = service_metadata()
