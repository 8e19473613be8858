"""All routes, as data: one module per resource. There is no route without a declared right."""

from __future__ import annotations

from gateway.routes import (
    accounts,
    balance,
    catalogue,
    companies,
    devices,
    door,
    files,
    history,
    licenses,
    oversight,
    projects,
    staff,
)
from gateway.row import Row

ROWS: tuple[Row, ...] = (
    *accounts.ROWS,
    *companies.ROWS,
    *oversight.ROWS,
    *projects.ROWS,
    *balance.ROWS,
    *devices.ROWS,
    *licenses.ROWS,
    *files.ROWS,
    *door.ROWS,
    *catalogue.ROWS,
    *history.ROWS,
    *staff.ROWS,
)
