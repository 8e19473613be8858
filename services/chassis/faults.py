"""Fail points: named places where a test may end, delay or break a process.

Set by `TESSERA_FAIL_POINTS`, for example `db.before_commit=exit:1;relay.before_mark=sleep:2`. `kill:<file>` ends the
process like SIGKILL from outside as long as the file is there, and writes a line into it: a test arms and disarms a
place of a running fleet.
In normal operation the setting is empty and a fail point costs one dictionary look-up.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


class InjectedFault(RuntimeError):
    """Raised where a test asked for it."""


def _parse(text: str) -> dict[str, tuple[str, str]]:
    points = {}
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        name, _, action = part.partition("=")
        verb, _, argument = action.partition(":")
        points[name] = (verb, argument)
    return points


_points = _parse(os.environ.get("TESSERA_FAIL_POINTS", ""))


def set_fail_points(text: str) -> None:
    """Replace the fail points of this process, in the syntax of the setting."""
    _points.clear()
    _points.update(_parse(text))


def fail_point(name: str) -> None:
    """Do what the setting asks for at this place: `exit:<code>`, `kill:<file>`, `sleep:<seconds>` or `raise`."""
    point = _points.get(name)
    if point is None:
        return
    verb, argument = point
    if verb == "exit":
        os._exit(int(argument or 1))
    if verb == "kill" and Path(argument).exists():
        with Path(argument).open("a") as hits:
            hits.write(f"{os.getpid()}\n")
        os.kill(os.getpid(), signal.SIGKILL)
    if verb == "sleep":
        time.sleep(float(argument or 1))
    if verb == "raise":
        raise InjectedFault(name)
