"""Cursors: what a list gave is taken, all else is refused the same way (Issue 6.5: bad cursors had five answers)."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from services.chassis.context import Call
from services.chassis.errors import ServiceError
from services.chassis.fields import read_moment, read_text
from services.chassis.paging import Listing

ADMIN = {"sub": "user-1", "company": "company-1"}
NUMBERS = list(range(18))


def listing(cursor: str | None = None, name: str = "list_things", own: bool = False, **request: Any) -> Listing:
    claims = request.pop("claims", ADMIN)
    return Listing(Call(claims=claims), name, {"limit": 2, "project": None, "cursor": cursor} | request, own=own)


def given() -> str:
    _, cursor = listing().cut(NUMBERS, lambda number: number)
    assert cursor is not None
    return cursor


def refused(wanted: Listing, *readers: Any) -> None:
    with pytest.raises(ServiceError) as caught:
        wanted.after(*(readers or (int,)))
    assert (caught.value.status, caught.value.code) == (422, "request.invalid")
    assert [item["pointer"] for item in caught.value.extra["errors"]] == ["?cursor"]


def test_pages_are_never_longer_than_the_limit_and_together_they_are_the_whole() -> None:
    for limit in (1, 2, 5, 18, 200):
        cursor, seen = None, []
        while True:
            page, cursor = listing(cursor, limit=limit).cut(NUMBERS, lambda number: number)
            assert 0 < len(page) <= limit
            seen += page
            if cursor is None:
                break
        assert seen == NUMBERS


def test_a_position_of_several_parts_comes_back_as_it_was() -> None:
    at = datetime(2026, 11, 24, 8, 45, 34, 790123, tzinfo=UTC)
    _, cursor = listing().page([('ä"', at)] * 3, lambda row: (row[1], row[0]))
    assert listing(cursor).after(read_moment, read_text) == (at, 'ä"')
    refused(listing(cursor), read_text)


def test_a_cursor_of_another_list_filter_company_or_person_is_refused() -> None:
    cursor = given()
    assert listing(cursor, limit=7).after(int) == 1
    refused(listing(cursor, name="list_others"))
    refused(listing(cursor, project="p"))
    refused(listing(cursor, sort="-name"))
    refused(listing(cursor, claims={"sub": "user-1", "company": "company-2"}))
    refused(listing(cursor, own=True))
    assert listing(cursor, claims={"sub": "user-2", "company": "company-1"}).after(int) == 1


def test_what_no_list_gave_is_refused() -> None:
    cursor = given()
    written = json.loads(base64.urlsafe_b64decode(cursor))
    moved = base64.urlsafe_b64encode(json.dumps([written[0], 9]).encode()).decode()
    wrong = [
        "",
        "x",
        "!!",
        "é",
        cursor[:-1],
        cursor + "=",
        cursor + "A",
        cursor.lower(),
        f" {cursor}",
        moved,
        "W10=",
        "e30=",
    ]
    wrong += [base64.urlsafe_b64encode(text.encode()).decode() for text in ("1", "null", '["a"]', "[" * 300, "[[],{}]")]
    for text in wrong:
        refused(listing(text))
