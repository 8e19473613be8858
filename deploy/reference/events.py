"""The page of all events: who tells each, when, who hears it, and what its data says."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections import defaultdict
from typing import Any, Final

from deploy.rooms import ROOMS, service_class
from gateway.event_schemas import EVENTS, event_schemas
from services.chassis.data.outbox import schema_address
from services.chassis.service.declare import declared
from services.chassis.service.inbox import Subscribe

_HEAD: Final = """\
# Events

Written by `make reference` from the contracts of the rooms (`EVENTS` in `services.<room>.api`) and what procedures
declare; do not edit. Each event is one CloudEvents 1.0 document about one object, told to the one company that it
concerns: what concerns two companies is told twice, and what concerns none has no `companyid`.

| attribute | |
|---|---|
| `id` | UUID version 7; the same event delivered again has the same one |
| `source`, `type` | the room that tells it and what happened, as below; the type is also the routing key |
| `time` | when, by the clock of the room's database: `2026-11-24T08:45:34.790Z` |
| `subject` | id of the object that it is about |
| `sequence`, `previousid`, `epoch` | its number in the room's log, without gaps; the event before it; which log it is |
| `companyid`, `projectid`, `deviceid`, `hardwareid` | what it is about, to filter by; absent where there is none |
| `actorid`, `requestid` | who did it, by id only, and in which request; absent where the receiver must not learn it |
| `dataschema` | address of the JSON Schema of `data` at the gateway: `/schemas/events/<source>/<type>/<version>` |

The schemas are read without a login. All have version 1: fields are added and never change, so readers ignore what they
do not know, and what must change gets a new type. Why no event is lost: [consistency](../explanation/consistency.md);
what number and epoch are for: [decision 15](../decisions/0015-a-log-is-known-by-the-event-applied-last.md).
"""


def render() -> str:
    """Return the page."""
    parts = [_HEAD]
    for source, types in EVENTS.items():
        told = told_by(source)
        hearers = [room for room in ROOMS if source in _heard(service_class(room))]
        hearers += ["gateway"] if source == "accounts" else []
        parts.append(f"## {source}\n\nHeard by {', '.join(hearers)}.\n")
        for name in sorted(types):
            parts += _event(source, name, told[name])
    return "\n".join(parts)


def _event(source: str, type: str, told: list[str]) -> list[str]:
    schema = event_schemas()[schema_address(source, type)]
    data = " ".join(schema["description"].split()).removeprefix("Event data: ")
    by = ", ".join(f"`{name}`" for name in told) or "what applies the events of other rooms"
    return [
        f'### <a id="{source}.{type}"></a>`{type}`\n',
        f"{data[0].upper()}{data[1:]} Told by {by}.\n",
        *_table(schema, schema.get("$defs", {})),
        "",
    ]


def _table(schema: dict[str, Any], parts: dict[str, Any]) -> list[str]:
    rows = list(_fields("", schema, parts))
    if not rows:
        return ["No data."]
    return ["| field | type | always | |", "|---|---|---|---|", *rows]


def _fields(prefix: str, schema: dict[str, Any], parts: dict[str, Any]) -> list[str]:
    rows = []
    required = schema.get("required", ())
    for name, member in schema.get("properties", {}).items():
        kind, inner = _kind(member, parts)
        said = member.get("description", "")
        if choices := [choice for choice in member.get("enum", ()) if choice is not None]:
            said = "; ".join(filter(None, [", ".join(f"`{choice}`" for choice in choices), said]))
        rows.append(f"| `{prefix}{name}` | {kind} | {'yes' if name in required else 'no'} | {said} |")
        if inner is not None:
            rows += _fields(f"{prefix}{name}{'[]' if kind.startswith('list') else ''}.", inner, parts)
    return rows


def _kind(member: dict[str, Any], parts: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """Return the type in words, and the schema of the object in it."""
    if "$ref" in member:
        return "object", parts[member["$ref"].rpartition("/")[2]]
    for word in ("allOf", "anyOf", "oneOf"):
        if word in member:
            kinds = [_kind(choice, parts) for choice in member[word]]
            return " or ".join(kind for kind, _ in kinds), next((inner for _, inner in kinds if inner), None)
    if member.get("type") == "array":
        kind, inner = _kind(member["items"], parts)
        return f"list of {kind}", inner
    kinds = member.get("type", "any")
    words = [kinds] if isinstance(kinds, str) else kinds
    return " or ".join(member.get("format", word) if word == "string" else word for word in words), None


def _heard(service: type) -> set[str]:
    """Return the rooms whose events a service applies."""
    return {
        entrypoint.source
        for _, method in inspect.getmembers(service, inspect.isfunction)
        for entrypoint in getattr(method, "nameko_entrypoints", ())
        if isinstance(entrypoint, Subscribe)
    }


def told_by(room: str) -> dict[str, list[str]]:
    """Return event type -> the procedures and handlers that are declared to tell it."""
    told: dict[str, set[str]] = defaultdict(set)
    for function in _functions(room):
        if (declaration := declared(function)) is not None:
            for event in declaration.emits:
                told[event].add(declaration.name)
    return defaultdict(list, {event: sorted(names) for event, names in told.items()})


def _functions(room: str) -> list[Any]:
    package = importlib.import_module(f"services.{room}")
    names = [found.name for found in pkgutil.walk_packages(package.__path__, f"services.{room}.")]
    modules = [importlib.import_module(name) for name in names if not re.search(r"\.(tests|migrations)\b", name)]
    return [function for module in modules for _, function in inspect.getmembers(module, inspect.isfunction)]
