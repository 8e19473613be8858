"""What the OpenAPI document says about texts beyond `string`: formats by the names of fields, patterns for every tool.

The names of the contract tell what a text is (`*_id`, `*_at`, `*_on`); a field that is something else says so itself,
by a format, a pattern or an enumeration of its own. The tests compare all answers with what stands here.
"""

from __future__ import annotations

import re
from typing import Any, Final

_BY_NAME: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"id|\w+_id"), "uuid"),
    (re.compile(r"\w+_at"), "date-time"),
    (re.compile(r"\w+_on"), "date"),
    (re.compile(r"email|\w+_email"), "email"),
    (re.compile(r"uri|\w+_uri"), "uri"),
)
# A device's MAC or IPEI is no id of ours, and no text for an address.
_NAMED_OTHERWISE: Final = frozenset({"hardware_id"})
_OWN: Final = frozenset({"format", "pattern", "enum", "const", "$ref"})


def with_formats(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a component's schema with the formats that the names of its members tell."""
    members = {name: _formatted(name, member) for name, member in schema.get("properties", {}).items()}
    return {**schema, "properties": members} if members else schema


def _formatted(name: str, member: dict[str, Any]) -> dict[str, Any]:
    if member.get("type") == "array" and name.endswith("s"):
        return {**member, "items": _formatted(name[:-1], member["items"])}
    kinds = member.get("type")
    if isinstance(kinds, list) and "null" in kinds and None not in member.get("enum", [None]):
        return {**member, "enum": [*member["enum"], None]}
    if not ("string" in kinds if isinstance(kinds, list) else kinds == "string") or _OWN & member.keys():
        return member
    found = next((form for pattern, form in _BY_NAME if pattern.fullmatch(name)), None)
    return member if found is None or name in _NAMED_OTHERWISE else {**member, "format": found}


def portable(value: Any) -> Any:
    r"""Return a document with patterns as ECMA-262 has them: they match anywhere unless both ends are bound.

    Ours match from the beginning, as Python's `match` does, and may end in `\Z`.
    """
    if isinstance(value, dict):
        return {
            name: _pattern(inner) if name == "pattern" and isinstance(inner, str) else portable(inner)
            for name, inner in value.items()
        }
    return [portable(inner) for inner in value] if isinstance(value, list) else value


def _pattern(text: str) -> str:
    text = re.sub(r"\\Z$", "$", text)
    return text if text.startswith("^") else f"^{text}"
