"""Wait on a state with a deadline; tests never sleep for a fixed time and hope."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(state: Callable[[], T], deadline: float = 10.0, *, what: str = "", every: float = 0.02) -> T:
    """Ask for the state until it is true and return it.

    Args:
        state: asked again and again; anything truthy ends the waiting.
        deadline: seconds from now.
        what: the expectation in words, for the message of a failure.
        every: seconds between two questions.

    Raises:
        AssertionError: the deadline passed; the text has the last answer.
    """
    end = time.monotonic() + deadline
    while not (answer := state()):
        if time.monotonic() > end:
            raise AssertionError(
                f"{what or getattr(state, '__name__', 'state')} not reached in {deadline} s: {answer!r}"
            )
        time.sleep(every)
    return answer
