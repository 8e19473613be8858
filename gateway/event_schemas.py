"""The JSON Schema of each event's data, under the address that events name as their `dataschema`."""

from __future__ import annotations

import inspect
import json
from functools import cache
from typing import Any, Final

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema

from gateway.formats import portable, with_formats
from services.accounts import api as accounts
from services.chassis.data.outbox import schema_address
from services.devices import api as devices
from services.history import api as history
from services.licensing import api as licensing
from services.projects import api as projects

#: Room -> event type -> schema of its data: all that any room tells.
EVENTS: Final[dict[str, dict[str, type[Schema]]]] = {
    "accounts": accounts.EVENTS,
    "projects": projects.EVENTS,
    "devices": devices.EVENTS,
    "licensing": licensing.EVENTS,
    "history": history.EVENTS,
}
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_IN_OPENAPI: Final = "#/components/schemas/"


@cache
def event_schemas() -> dict[str, dict[str, Any]]:
    """Return address -> JSON Schema of the data of every event."""
    return {
        schema_address(source, name): _schema_of(source, name, schema)
        for source, types in EVENTS.items()
        for name, schema in types.items()
    }


def _schema_of(source: str, type: str, schema: type[Schema]) -> dict[str, Any]:
    plugin = MarshmallowPlugin()
    spec = APISpec(title="", version="", openapi_version="3.1.0", plugins=[plugin])
    spec.components.schema("data", schema=schema)
    made = portable(spec.to_dict()).get("components", {}).get("schemas", {})
    made = {name: _open(with_formats(member)) for name, member in made.items()}
    # Whoever reads the schema alone has no components beside it.
    made = json.loads(json.dumps(made).replace(_IN_OPENAPI, "#/$defs/"))
    data = made.pop("data")
    return {
        "$schema": _DIALECT,
        "$id": schema_address(source, type),
        "title": type,
        "description": inspect.cleandoc(schema.__doc__ or ""),
        **data,
        **({"$defs": made} if made else {}),
    }


def _open(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that lets fields pass which it does not know: they are added, and old readers ignore them."""
    return {name: value for name, value in schema.items() if name != "additionalProperties" or value is not False}
