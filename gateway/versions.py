"""Entity tags: made from an answer, compared with If-None-Match and If-Match (RFC 9110).

A tag is a digest of the answer, after the version that a room gives its object. The version is what the room compares
in the transaction that writes. It is not enough to tell whether a client has the newest: what the caller may do with
the object, or the state of something that belongs to it, changes without it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from services.chassis.errors import ServiceError, stale

_TAG: Final = re.compile(r'\s*(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,|$)|\s*([0-9]{1,9})\s*(?:,|$)')
_VERSION: Final = re.compile(r"([0-9]{1,9})(?:-[0-9a-f]{24})?")
_MAX_TAGS: Final = 50


def etag_of(result: Mapping[str, Any], body: bytes) -> str:
    """Return the tag of an answer."""
    digest = hashlib.blake2b(body, digest_size=12).hexdigest()
    version = result.get("version", result.get("revision"))
    return f'"{version}-{digest}"' if isinstance(version, int) else f'"{digest}"'


def tags_in(header: str) -> list[str]:
    """Return the opaque tags of a header, weak ones like strong ones; empty where it is no list of tags."""
    tags: list[str] = []
    place = 0
    while place < len(header) and len(tags) < _MAX_TAGS:
        found = _TAG.match(header, place)
        if found is None:
            return []
        tags.append(found[1] if found[1] is not None else found[2])
        place = found.end()
    return tags


def is_known(header: str, etag: str) -> bool:
    """Tell whether If-None-Match names the tag, compared weakly; `*` names every one."""
    return header.strip() == "*" or etag.removeprefix("W/").strip('"') in tags_in(header)


def version_of(tag: str) -> int | None:
    """Return the version that a tag begins with, None where it has none."""
    found = _VERSION.fullmatch(tag)
    return int(found[1]) if found else None


def names(tags: list[str], etag: str) -> bool:
    """Tell whether one of the tags is of the object as it is; where both have a version, it alone counts."""
    current = etag.removeprefix("W/").strip('"')
    version = version_of(current)
    return any(tag == current or (version is not None and version_of(tag) == version) for tag in tags)


def refused() -> ServiceError:
    """Return the refusal of a change to what is no longer as the client read it."""
    return stale("request.stale", "The object has changed since it was read; read it again and repeat the change.")
