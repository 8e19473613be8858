"""One word for one thing, over all rooms and routes (api.md, "Conventions")."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from marshmallow import ValidationError

from gateway import problems
from gateway.codes import all_codes
from gateway.problems import TEXTS
from gateway.routes import ROWS
from gateway.row import Row
from gateway.tests.test_rows import name_of
from services.accounts import api as accounts
from services.chassis import errors as chassis
from services.chassis.fields import Moment, write_moment
from services.chassis.outbox import event_row
from services.devices import api as devices
from services.history import api as history
from services.licensing import api as licensing
from services.projects import api as projects

#: Last word of a code -> the one code that means it, whichever service says it (api.md, "One word for one thing").
ONE_CODE = {"stale": "request.stale", "power_needed": "access.power_needed", "token_invalid": "token.invalid"}


def test_one_meaning_has_one_code() -> None:
    """Issue 6.5: three rooms had a word of their own for a stale version, two for a missing power."""
    said = json.loads((TEXTS.parent / "procedures.json").read_text("utf-8"))
    lists = [
        *(set(module.ERRORS) for module in (chassis, problems, accounts, projects, devices, licensing, history)),
        set().union(*said["procedures"].values()) | set(said["statuses"]),
        set().union(*(row.errors for row in ROWS)),
    ]
    for codes in lists:
        second = {code for code in codes for word, one in ONE_CODE.items() if code.endswith(f".{word}") and code != one}
        assert second == set()
    assert set(ONE_CODE.values()) <= set(all_codes())
    # Each code stands in one list, so that nobody gives it a second meaning.
    owners = [code for codes in lists[:7] for code in codes]
    assert sorted(owners) == sorted(set(owners))


MOMENTS = [
    pytest.param(row, name, id=f"{name_of(row)} {name}")
    for row in ROWS
    for name, field in row.wire_fields.items()
    if isinstance(field, Moment)
]
GOOD = ("2026-11-24T08:45:34Z", "2026-11-24T08:45:34.790123Z", "2026-11-24t09:45:34+01:00", "2026-11-24T00:45:34-08:00")
BAD = (
    "2026-11-24T08:45:34", "2026-11-24T08:45:34.790", "2026-11-24", "20261124T084534Z", "2026-W48-2T08:45:34Z",
    "2026-11-24 08:45:34Z", "2026-11-24T08:45Z", "2026-11-24T08:45:34+0100", "2026-02-30T08:45:34Z",
    "2026-11-24T25:45:34Z", "٢٠٢٦-11-24T08:45:34Z", "2026-11-24T08:45:34Z ", "0001-01-01T00:00:00+14:00", "now", "1",
)  # fmt: skip


def test_every_time_that_a_request_takes_is_known() -> None:
    named = {
        (row.rpc, name)
        for row in ROWS
        for name in row.wire_fields
        if name.endswith("_at") or name in ("from", "to", "since", "until")
    }
    assert named == {(parameter.values[0].rpc, parameter.values[1]) for parameter in MOMENTS} != set()


@pytest.mark.parametrize(("row", "name"), MOMENTS)
def test_requests_take_times_of_rfc_3339_with_any_offset_and_none_without(row: Row, name: str) -> None:
    field = row.wire_fields[name]
    for text in GOOD:
        assert field.deserialize(text).utcoffset() == timedelta(0)
    assert {write_moment(field.deserialize(GOOD[place])) for place in (0, 2, 3)} == {"2026-11-24T08:45:34.000Z"}
    for text in BAD:
        with pytest.raises(ValidationError, match="Not a valid time; write it as 2026-"):
            field.deserialize(text)


def test_there_is_one_form_of_times() -> None:
    west = timezone(timedelta(hours=-8))
    assert write_moment(datetime(2026, 11, 24, 0, 45, 34, 790999, west)) == "2026-11-24T08:45:34.790Z"
    with pytest.raises(ValueError, match="zone"):
        write_moment(datetime(2026, 11, 24))


def test_events_tell_their_time_in_that_form() -> None:
    row = event_row("projects", "project_created", datetime(2026, 11, 24, 8, 45, 34, 790123, UTC), {}, {})
    assert json.loads(row["event"])["time"] == "2026-11-24T08:45:34.790Z"
