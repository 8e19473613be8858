"""The shape of problem documents in the OpenAPI document: the members of RFC 9457 and the facts that some codes add."""

from __future__ import annotations

from typing import Any, Final

_STRING: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_UUID: Final = {**_STRING, "format": "uuid"}
_TEXTS: Final = {"type": "array", "items": _STRING}
_NUMBERS: Final = {"type": "array", "items": {"type": "integer"}}


def _object(**members: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(members), "properties": members}


def _said(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {**schema, "description": description}


#: What a code adds to its problem document, so that a program need not read the sentence in `detail`.
FACTS: Final[dict[str, dict[str, Any]]] = {
    "accepted": _said(_STRING, "the media type that is taken"),
    "allowed": _said(_COUNT, "how many would go"),
    "blockers": {
        "type": "object",
        "description": "what is in the way, and how much of it",
        "additionalProperties": {"type": "integer"},
    },
    "certificate": _said(_STRING, "serial number of the certificate that signed"),
    "companies": {"type": "array", "items": _object(id=_UUID, name=_STRING)},
    "company_id": _UUID,
    "count": _said(_COUNT, "how many were given"),
    "counter": _COUNT,
    "current_fingerprint": {"type": ["string", "null"], "description": "of the key that counts now"},
    "file_issued": {**_STRING, "enum": ["none", "encrypted", "plain"]},
    "fingerprint": _STRING,
    "hardware_ids": _TEXTS,
    "highest": _COUNT,
    "installed": _said(_COUNT, "how many the device has"),
    "issued_to": _said(_STRING, "serial number of the certificate that the file was issued to"),
    "kept": {
        "type": "array",
        "description": "what stays on the device, and why",
        "items": {
            **_object(license_type=_STRING, name=_STRING, quantity=_COUNT, reason=_STRING),
            "additionalProperties": {"type": "string"},
        },
    },
    "length": _said(_COUNT, "bytes that were announced"),
    "license_type": _STRING,
    "limit": _said(_COUNT, "how many are taken at most"),
    "maximum": _said(_COUNT, "how many a device of this type takes"),
    "number": _said(_STRING, "number of the order"),
    "offered": _said(_NUMBERS, "versions that are offered"),
    "order_number": _STRING,
    "pbx_size": _said(_COUNT, "size of the PBX license"),
    "power": _said(_STRING, "what the caller may not do in the project"),
    "project_id": _UUID,
    "received": _said(_COUNT, "bytes that came"),
    "requested": _said(_COUNT, "how many were asked for"),
    "requested_on": {**_STRING, "format": "date"},
    "retry_after": {"type": "integer", "minimum": 1, "description": "seconds to wait, also in Retry-After"},
    "right": _said(_STRING, "the account right that is missing"),
    "rule": _said(_STRING, "name of the rule that is broken"),
    "scope": _said(_STRING, "the scope that is missing"),
    "serial": _STRING,
    "shortages": {
        "type": "array",
        "items": _object(
            license_type=_STRING,
            name=_STRING,
            needed=_COUNT,
            missing=_COUNT,
            projects={"type": "array", "items": _object(id=_UUID, name=_STRING, available=_COUNT)},
        ),
    },
    "used_at": {**_STRING, "format": "date-time"},
    "version": _said({"type": "integer"}, "the present version of the object"),
    "size": _said(_COUNT, "size that the device has"),
    "versions": _NUMBERS,
    "ways": {"type": "array", "items": {**_STRING, "enum": ["order_number", "device_key", "staff"]}},
}

_REQUIRED: Final = {
    "type": _said(_STRING, "address of an explanation"),
    "title": _STRING,
    "status": {"type": "integer"},
    "detail": _said(_STRING, "in the language of Accept-Language"),
    "code": _said(_STRING, "dotted, never changes its meaning"),
    "instance": _said(_UUID, "request id, also in X-Request-Id"),
}
_WRONG_FIELD: Final = _object(
    pointer=_said(_STRING, "JSON pointer, or ?name for a query parameter"), code=_STRING, detail=_STRING
)

PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "required": list(_REQUIRED),
    "properties": {**_REQUIRED, "errors": {"type": "array", "items": _WRONG_FIELD}, **FACTS},
}
