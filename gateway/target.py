"""What a request's head names: path, query and authority of its target, the name in its Host."""

from __future__ import annotations

from services.chassis.errors import invalid


def split_target(target: str) -> tuple[str, str, str]:
    """Split a request target into path, query and, when it is in absolute form, authority."""
    authority = ""
    if not target.startswith("/"):
        scheme, separator, rest = target.partition("://")
        if not separator or scheme.lower() not in ("http", "https"):
            raise invalid("request.bad_request", "The request's target must begin with a slash.")
        authority, slash, tail = rest.partition("/")
        target = slash + tail or "/"
    path, _, query = target.partition("?")
    return path, query, authority


def without_port(host: str) -> str:
    """Return the name of a Host header; what follows a name and is no port stays, and makes it another name."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isascii() and port.isdigit() else host
