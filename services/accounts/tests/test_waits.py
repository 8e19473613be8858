"""How long somebody waits who tried too often (S3, S9)."""

from datetime import UTC, datetime, timedelta

import pytest

from services.accounts.api import seconds_to_wait

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("minutes_ago", "most", "seconds"),
    [
        ([], 1, 0),
        ([50, 10], 3, 0),
        ([50, 10], 2, 600),
        # Several things tried at once may go beyond the limit: only when enough of them are old is there room.
        ([50, 30, 10], 2, 1800),
        ([60], 1, 1),
    ],
)
def test_one_waits_until_fewer_than_the_limit_are_within_the_window(
    minutes_ago: list[int], most: int, seconds: int
) -> None:
    tries = [NOW - timedelta(minutes=minutes) for minutes in minutes_ago]
    assert seconds_to_wait(tries, most, HOUR, NOW) == seconds


def test_a_part_of_a_second_is_a_second() -> None:
    assert seconds_to_wait([NOW - HOUR + timedelta(milliseconds=1400)], 1, HOUR, NOW) == 2
