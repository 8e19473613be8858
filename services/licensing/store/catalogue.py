"""SQL of the catalogue, and each process's copy of it."""

from __future__ import annotations

import time
import weakref

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.db import Database
from services.licensing import models
from services.licensing.domain.catalogue import Catalogue, DeviceType, LicenseType

_FRESH_SECONDS = 2.0
_copies: weakref.WeakKeyDictionary[Database, tuple[float, Catalogue]] = weakref.WeakKeyDictionary()


def get_catalogue(database: Database) -> Catalogue:
    """Return the catalogue as it was at most two seconds ago; it is read again only after an edit."""
    copy = _copies.get(database)
    if copy is not None and time.monotonic() - copy[0] < _FRESH_SECONDS:
        return copy[1]

    def work(connection: Connection) -> Catalogue:
        revision = connection.scalar(sa.select(models.CatalogueState.revision))
        if copy is not None and copy[1].revision == revision:
            return copy[1]
        return read_catalogue(connection, revision or 0)

    catalogue = database.read(work)
    _copies[database] = (time.monotonic(), catalogue)
    return catalogue


def read_catalogue(connection: Connection, revision: int) -> Catalogue:
    """Read the whole catalogue, license types in the order of lists."""
    types, models_, versions = models.LicenseType, models.DeviceType, models.CatalogueVersion
    columns = [column for column in types.__table__.columns if column.name != "position"]
    license_types = [
        LicenseType(**row) for row in connection.execute(sa.select(*columns).order_by(types.position)).mappings()
    ]
    device_types = [
        DeviceType(row.id, row.category, row.warranty_months, row.maxima, row.origin)
        for row in connection.execute(
            sa.select(models_.id, models_.category, models_.warranty_months, models_.maxima, models_.origin).order_by(
                models_.id
            )
        )
    ]
    offered = connection.scalars(sa.select(versions.version).where(versions.offered)).all()
    return Catalogue.of(license_types, device_types, offered, revision)
