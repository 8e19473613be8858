"""Cursors of lists that are ordered by time and id, newest first: opaque to clients, checked when they come back."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from services.chassis.errors import invalid
from services.chassis.fields import read_moment, read_text


def read_cursor(cursor: str | None) -> tuple[datetime, str] | None:
    """Return time and id that a cursor stands for.

    Raises: request.invalid.
    """
    if cursor is None:
        return None
    try:
        moment, _, identity = base64.urlsafe_b64decode(cursor.encode("ascii")).decode().partition(" ")
        position = read_moment(moment), read_text(identity)
        if not identity:
            raise ValueError(cursor)
    except (ValueError, UnicodeError, binascii.Error):
        detail = "This is not a cursor that the list gave out: take `next` of the page before."
        raise invalid(
            "request.invalid", detail, errors=[{"pointer": "/cursor", "code": "invalid", "detail": detail}]
        ) from None
    return position


def page(
    rows: Sequence[Any], limit: int, position: Callable[[Any], tuple[datetime, str]]
) -> tuple[Sequence[Any], str | None]:
    """Cut rows to a page and return it with the cursor of the next one.

    Args:
        rows: one more than `limit` where there is more.
        limit: size of the page.
        position: time and id of a row.
    """
    if len(rows) <= limit:
        return rows, None
    moment, identity = position(rows[limit - 1])
    return rows[:limit], base64.urlsafe_b64encode(f"{moment.isoformat()} {identity}".encode()).decode()
