"""How long somebody waits who tried too often: the one reckoning of what is counted one by one in a window (S3, S9).

What blocks longer each time, such as wrong passwords, is accounts' own (`domain.attempt`). Where tries are
stored does not belong here.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import ceil


def seconds_to_wait(tries: Sequence[datetime], most: int, window: timedelta, now: datetime) -> int:
    """Return 0 where one more try is allowed, else after how many whole seconds it is.

    Args:
        tries: when it was tried within the window, oldest first.
        most: tries in the window.
        window: how long a try counts.
        now: of the database that stored the tries.
    """
    if len(tries) < most:
        return 0
    return max(1, ceil((tries[-most] + window - now).total_seconds()))
