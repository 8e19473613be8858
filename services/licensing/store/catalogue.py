"""SQL of the catalogue, and each process's copy of it."""

from __future__ import annotations

import time
import weakref

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.db import Database
from services.chassis.data.rows import columns_of
from services.licensing import models
from services.licensing.domain.catalogue import Catalogue, DeviceType, LicenseType

_FRESH_SECONDS = 2.0
_LICENSE_TYPES = sa.select(*columns_of(LicenseType, models.LicenseType.__table__)).order_by(models.LicenseType.position)
_DEVICE_TYPES = sa.select(*columns_of(DeviceType, models.DeviceType.__table__)).order_by(models.DeviceType.id)
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
    license_types = [LicenseType(*row) for row in connection.execute(_LICENSE_TYPES)]
    device_types = [DeviceType(*row) for row in connection.execute(_DEVICE_TYPES)]
    versions = models.CatalogueVersion
    offered = connection.scalars(sa.select(versions.version).where(versions.offered)).all()
    return Catalogue.of(license_types, device_types, offered, revision)
