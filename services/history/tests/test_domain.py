"""Pure rules: canonical bytes, chains, periods."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.history.domain import (
    START,
    ChainedLine,
    Head,
    Line,
    append,
    canonical_json,
    canonical_time,
    heads_to_sign,
    line_hash,
    period_start,
    read_heads,
    verify,
)

NOW = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)


def line(number: int, *, company: str | None = "c1", data: str = "{}") -> Line:
    return Line(
        event_id=f"e{number}",
        source="licensing",
        source_sequence=number,
        action="licenses_assigned",
        at=NOW + timedelta(seconds=number),
        subject="s",
        company_id=company,
        project_id=None,
        device_id=None,
        hardware_id=None,
        actor_id=None,
        request_id=None,
        data=data,
    )


def chain_of(count: int) -> tuple[Head, list[ChainedLine]]:
    head, entries = Head("c1"), []
    for number in range(1, count + 1):
        head, entry = append(head, line(number))
        entries.append(entry)
    return head, entries


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical_json({"b": 1, "a": "ü"}) == canonical_json({"a": "ü", "b": 1}) == '{"a":"ü","b":1}'


def test_canonical_json_refuses_what_json_cannot_say() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": float("nan")})


def test_canonical_time_is_the_same_text_for_the_same_moment() -> None:
    east = NOW.astimezone(timezone(timedelta(hours=5)))
    assert canonical_time(east) == canonical_time(NOW) == "2026-03-31T12:00:00.000000Z"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no zone"):
        canonical_time(datetime(2026, 1, 1))


def test_the_hash_of_a_known_line_never_changes() -> None:
    # A published vector: whoever changes how lines are hashed breaks every chain there is.
    assert line_hash("c1", 1, START, line(1)) == "eb95f2d705b65ffb464f9a10242080156d7c949bc77d022329b5ed4c8e66f956"


def test_a_line_goes_to_its_own_chain_only() -> None:
    with pytest.raises(ValueError, match="belongs to chain c2"):
        append(Head("c1"), line(1, company="c2"))


def test_a_line_of_no_company_goes_to_the_vendor_s_chain() -> None:
    assert line(1, company=None).chain == "vendor"


def test_a_chain_as_written_verifies() -> None:
    head, entries = chain_of(5)
    assert verify(head, entries, {}) is None
    assert verify(head, entries, {3: entries[2].hash, 5: head.hash}) is None
    assert verify(Head("c1"), [], {}) is None


@given(st.integers(min_value=0, max_value=9), st.integers(min_value=0, max_value=9))
def test_any_two_lines_swapped_are_found_at_the_first_of_them(a: int, b: int) -> None:
    head, entries = chain_of(10)
    entries[a], entries[b] = entries[b], entries[a]
    flaw = verify(head, entries, {})
    assert (flaw is None) == (a == b)
    if flaw is not None:
        assert flaw.number == min(a, b) + 1


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ("day", datetime(2026, 3, 30, 12, 0, tzinfo=UTC)),
        ("week", datetime(2026, 3, 24, 12, 0, tzinfo=UTC)),
        ("month", datetime(2026, 2, 28, 12, 0, tzinfo=UTC)),
        ("year", datetime(2025, 3, 31, 12, 0, tzinfo=UTC)),
        ("all", None),
    ],
)
def test_periods_count_back_from_now(period: str, expected: datetime | None) -> None:
    assert period_start(period, NOW) == expected


def test_a_month_back_from_january_is_in_december_and_a_year_back_from_a_leap_day_is_the_28th() -> None:
    assert period_start("month", datetime(2026, 1, 15, tzinfo=UTC)) == datetime(2025, 12, 15, tzinfo=UTC)
    assert period_start("year", datetime(2024, 2, 29, tzinfo=UTC)) == datetime(2023, 2, 28, tzinfo=UTC)


def test_an_unknown_period_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="day, week, month, year or all"):
        period_start("hour", NOW)


def test_heads_documents_read_back_as_written() -> None:
    heads = [Head("c2", 2, "b" * 64), Head("c1", 1, "a" * 64)]
    previous, at, read = read_heads(heads_to_sign(START, NOW, heads))
    assert (previous, at, list(read)) == (START, NOW, sorted(heads, key=lambda head: head.chain))


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"at":1}', b'{"at":"2026","previous":"","heads":[[1]]}'])
def test_bytes_that_are_no_heads_document_are_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="not a heads document"):
        read_heads(payload)
