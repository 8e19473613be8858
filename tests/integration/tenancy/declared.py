"""What the product declares about itself, and the matrix derives from: the gateway's rows and the table of powers.

The only module of the journeys that imports the product. It brings the declarations and no behavior.
"""

from __future__ import annotations

from typing import Final

from marshmallow import fields

from gateway.routes import ROWS
from gateway.row import Right, Row
from services.chassis.fields import Id
from services.projects.api import POWERS, Power

__all__ = ["OF_POWER", "OF_ROUTE", "POWERS", "Power", "Right", "Row", "naming_fields"]

OF_ROUTE: Final[dict[str, Row]] = {f"{row.method} {row.path}": row for row in ROWS}
"""`GET /v1/me` -> its row."""
OF_POWER: Final[dict[str, Power]] = {power.name: power for power in POWERS}

# Fields that name a thing by something other than an id of ours.
_NAMING: Final = frozenset({"hardware_id", "hardware_ids", "order_number", "number", "serial", "key", "id", "project"})
# They name what is being made, not what is there.
_NEW: Final = frozenset({"POST /v1/staff/orders number"})


def naming_fields(row: Row) -> frozenset[str]:
    """Return the fields of a route that name a thing, in path, query or body: somebody may name what is another's."""
    route = f"{row.method} {row.path}"
    named = set(row.path_names)
    for name, field in row.wire_fields.items():
        inner = field.inner if isinstance(field, fields.List) else field
        if isinstance(inner, Id) or name in _NAMING or name.endswith(("_id", "_ids")):
            named.add(name)
    return frozenset(name for name in named if f"{route} {name}" not in _NEW)
