"""A malformed id in a path is one that nobody has: 404, byte for byte, on every route (issue 6.5)."""

from __future__ import annotations

import uuid
from typing import Final
from urllib.parse import quote

import pytest

from tests.integration.http_client import Answer
from tests.integration.tenancy.asking import comparable, filled
from tests.integration.tenancy.callers import Caller
from tests.integration.tenancy.cases import CASES, Case
from tests.integration.tenancy.declared import Right
from tests.integration.tenancy.world import World

pytestmark = pytest.mark.usefixtures("no_surprise")

UNKNOWN: Final = {"hardware_id": "00-90-33-FE-DC-BA", "number": "NO-SUCH-ORDER"}
ODD: Final = (
    "%00",
    "%ff",
    "%e2%80%ae",
    "%D9%A3%D9%A3",
    "a" * 200,
    "x%20y%3F",
    "%7B%7D",
    "null%0d%0aX-Evil:1",
    "%C3%BC",
)
PATHS: Final = {case.route: case for case in CASES if case.row.path_names}


def place_of(case: Case, name: str) -> int:
    return case.row.path.split("/").index(f"{{{name}}}")


def send(case: Case, name: str, value: str, world: World, caller: Caller) -> Answer:
    """Send the request of a case with another id in its path, encoded already; the other ids are the world's."""
    path, query, body, text = filled(case, world, {})
    parts = path.split("/")
    parts[place_of(case, name)] = value
    row = case.row
    return caller.send(row.method, "/".join(parts), query=query, json=body, text=text, media_type=row.takes)


@pytest.mark.parametrize("case", PATHS.values(), ids=str)
def test_a_malformed_id_is_answered_like_an_unknown_one(case: Case, world: World, callers: dict[str, Caller]) -> None:
    door, staff = case.row.right is Right.DEVICE, case.row.right is Right.STAFF
    caller = callers["token device" if door else "staff" if staff else "own admin"]
    for name in case.row.path_names:
        expected = send(case, name, UNKNOWN.get(name) or str(uuid.uuid4()), world, caller)
        # What a device signed names the device as well, and is looked at before it is looked for.
        assert expected.status == (422 if case.text == "$return" else 404), (name, expected.content)
        own = quote(filled(case, world, {})[0].split("/")[place_of(case, name)], safe="")
        for value in (*ODD, f"{own}%0a", f"%20{own}", f"{own}%E2%80%8B", f"{own}%00"):
            answer = send(case, name, value, world, caller)
            assert comparable(answer, {}) == comparable(expected, {}), (name, value)
