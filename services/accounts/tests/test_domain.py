"""Pure rules of accounts: throttles, choice of the company, passwords."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.accounts.domain import (
    ACCOUNT_LIMIT,
    Membership,
    Throttle,
    attempt,
    choose_company,
    forgiven,
    password_problem,
)
from services.accounts.kit import Argon2Hasher, common_passwords

START = datetime(2026, 1, 1, tzinfo=UTC)


@given(st.lists(st.integers(0, 1200), min_size=1, max_size=80))
def test_whatever_the_rhythm_attempts_stay_few_and_waits_short(pauses: list[int]) -> None:
    now, state, worked = START, None, []
    for pause in pauses:
        now += timedelta(seconds=pause)
        state, wait = attempt(state, ACCOUNT_LIMIT, now)
        assert 0 <= wait <= ACCOUNT_LIMIT.longest_block_seconds
        if not wait:
            worked.append(now)
    for begin in worked:
        inside = [moment for moment in worked if begin <= moment < begin + timedelta(minutes=10)]
        # Ten in a window, ten in the next, and those between ever longer blocks.
        assert len(inside) <= 2 * ACCOUNT_LIMIT.failures + 4


def test_delays_grow_to_a_quarter_of_an_hour_and_pass() -> None:
    state: Throttle | None = None
    now = START
    for _ in range(10):
        state, wait = attempt(state, ACCOUNT_LIMIT, now)
        assert wait == 0
    waits = []
    for _ in range(8):
        state, wait = attempt(state, ACCOUNT_LIMIT, now)
        waits.append(wait)
        now += timedelta(seconds=wait)
        # The window must not end in between, or ten attempts would be free again.
        assert state is not None
        state = Throttle(state.failures, now, state.blocked_until, state.level)
        state, wait = attempt(state, ACCOUNT_LIMIT, now)
        assert wait == 0
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]


def test_a_good_attempt_does_not_count() -> None:
    state = None
    for _ in range(50):
        state, wait = attempt(state, ACCOUNT_LIMIT, START)
        assert wait == 0
        state = forgiven(state, START)
    for _ in range(9):
        state, _ = attempt(state, ACCOUNT_LIMIT, START)
    state, wait = attempt(state, ACCOUNT_LIMIT, START)
    assert wait == 0
    assert forgiven(state, START).blocked_until is None


A, B, LOCKED = (
    Membership("a", "A", "admin", False),
    Membership("b", "B", "member", False),
    Membership("c", "C", "admin", True),
)


@pytest.mark.parametrize(
    ("members", "asked", "last", "expected"),
    [
        ([], None, None, (None, False)),
        ([], "a", None, (None, True)),
        ([A], None, None, (A, False)),
        ([A, B], None, "b", (B, False)),
        ([A, B], None, "gone", (A, False)),
        ([A, B], "b", "a", (B, False)),
        ([LOCKED, B], None, "c", (B, False)),
        ([LOCKED], None, None, (None, False)),
        ([LOCKED, A], "c", None, (None, True)),
        ([A], "z", None, (None, True)),
    ],
)
def test_the_company_of_a_session(
    members: list[Membership], asked: str | None, last: str | None, expected: tuple[Membership | None, bool]
) -> None:
    assert choose_company(members, asked, last) == expected


@pytest.mark.parametrize(
    ("password", "wrong"),
    [
        ("password", True),
        ("Password1", True),
        ("PASSWORD", True),
        ("ada@example.org", True),
        ("Lovelace-1815", True),
        ("tessera2026", True),
        ("abababababab", True),
        ("correct horse battery", False),
        ("Lovelace likes horses", False),
        ("ünïcödé wörds äre fine", False),
    ],
)
def test_passwords_that_are_tried_first_are_refused(password: str, wrong: bool) -> None:
    words = ("ada@example.org", "Ada", "Lovelace")
    assert password_problem(password, words, common_passwords()) is wrong


def test_the_list_has_three_thousand_passwords_of_allowed_length() -> None:
    assert len(common_passwords()) >= 2990
    assert all(len(password) >= 8 and password == password.lower() for password in common_passwords())


def test_hashes_fit_their_password_and_nothing_fits_nobody() -> None:
    hasher = Argon2Hasher(memory_kib=64)
    stored = hasher.hash("correct horse battery")
    assert stored.startswith("$argon2id$")
    assert hasher.verify(stored, "correct horse battery")
    assert not hasher.verify(stored, "correct horse batterY")
    assert not hasher.verify(None, "correct horse battery")
    assert not hasher.verify("", "correct horse battery")
    assert Argon2Hasher().is_outdated(stored)
