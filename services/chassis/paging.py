"""Pages of lists: the one form of cursors, bound to the list that gave them (docs/decisions/0017).

A cursor holds the position of the last item of a page and a digest of the position, the list, its filter and whose it
is. It is no secret and no right: whoever reads the code can make one, and gets a place in a list that is theirs anyway.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from services.chassis.context import Call
from services.chassis.errors import ServiceError, invalid

T = TypeVar("T")
_PAGING: Final = ("limit", "cursor")
NOT_OF_THIS_LIST: Final = (
    "This cursor was not given by this list with this filter: take `next` of the page before, or leave it out."
)


class Listing:
    """One list as one caller reads it.

    Args:
        call: tells whose list it is: the company's, or the user's who has none.
        name: name of the procedure.
        request: its loaded request; all but `limit` and `cursor` is the filter.
        own: the list is the caller's alone, not the company's.
    """

    def __init__(self, call: Call, name: str, request: Mapping[str, Any], *, own: bool = False) -> None:
        self.limit = int(request["limit"])
        self._cursor = request["cursor"]
        whose = (None if own else call.claims.get("company")) or call.claims.get("sub")
        chosen = sorted((field, value) for field, value in request.items() if field not in _PAGING)
        self._bound = [name, whose, chosen]

    def after(self, *readers: Callable[[Any], Any]) -> Any:
        """Return the position that the cursor holds, None on the first page; a tuple where it has several parts.

        Args:
            readers: one for each part; raises ValueError for what the part cannot be.

        Raises:
            request.invalid: this list did not give the cursor.
        """
        if self._cursor is None:
            return None
        try:
            written = base64.urlsafe_b64decode(self._cursor.encode("ascii")).decode()
            digest, *position = json.loads(written)
            if self._cursor != self._written(position) or len(position) != len(readers):
                raise ValueError(digest)
            parts = tuple(read(part) for read, part in zip(readers, position, strict=True))
        except (ValueError, TypeError, binascii.Error, RecursionError):
            raise refused_cursor() from None
        return parts[0] if len(parts) == 1 else parts

    def page(self, rows: Sequence[T], position: Callable[[T], Iterable[Any]]) -> tuple[Sequence[T], str | None]:
        """Cut rows to a page and return it with the cursor of the next one.

        Args:
            rows: at least one more than `limit` where there is more.
            position: parts of a row's place in the order: texts, whole numbers, times.
        """
        if len(rows) <= self.limit:
            return rows, None
        page = rows[: self.limit]
        return page, self._written([_part(part) for part in position(page[-1])])

    def cut(self, items: Iterable[T], place: Callable[[T], Any]) -> tuple[list[T], str | None]:
        """Return a page of a list that is whole in memory and short by its nature, and the cursor of the next one.

        Args:
            items: all, in the order of their places.
            place: the text or whole number that an item is ordered by; no two have the same.

        Raises:
            request.invalid: this list did not give the cursor.
        """
        after = self.after(lambda part: part)
        try:
            rest = [item for item in items if after is None or place(item) > after]
        except TypeError:
            raise refused_cursor() from None
        page, following = self.page(rest, lambda item: (place(item),))
        return list(page), following

    def _written(self, position: Sequence[Any]) -> str:
        whole = json.dumps([self._bound, position], default=str, sort_keys=True).encode()
        digest = hashlib.blake2b(whole, digest_size=9).digest()
        text = json.dumps([base64.b64encode(digest).decode(), *position], ensure_ascii=False, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode()


def refused_cursor() -> ServiceError:
    """Return the refusal of a cursor that the list did not give."""
    entry = {"pointer": "?cursor", "code": "field.cursor", "detail": NOT_OF_THIS_LIST}
    return invalid("request.invalid", f"?cursor: {NOT_OF_THIS_LIST}", errors=[entry])


def _part(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
