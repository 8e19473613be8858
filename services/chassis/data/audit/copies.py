"""Copies between rooms (L18, L20): what a room keeps of another one's rows is compared with those rows.

Neither room reads the other's tables: each gives facts by key, and whoever audits compares them. A copy that is behind
is told apart from one that is wrong by the log: it is wrong where its room has applied all that the source had told
when the source's fact was read, and says something else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.audit.checks import MAX_FLAWS, Check, Flaws
from services.chassis.data.audit.sorted import Scratch, merged
from services.chassis.data.db import Database
from services.chassis.data.place import read_place
from services.chassis.data.tables import outbox, outbox_head

Facts = Callable[[Connection], Iterable[tuple[str, str]]]
"""Gives keys with facts, one each, in any order."""
ABSENT: Final = "nothing"
_PAUSE: Final = 0.3


@dataclass(frozen=True, slots=True)
class Copy:
    """One kind of thing that a room copies.

    Args:
        name: of the things.
        source: room that owns them.
        room: that keeps the copy.
        originals: facts of the source.
        copies: facts of the room.
        fits: whether a copy may say this of that original; both are `ABSENT` where there is none.
    """

    name: str
    source: str
    room: str
    originals: Facts
    copies: Facts
    fits: Callable[[str, str], bool] = str.__eq__


@dataclass(frozen=True, slots=True)
class _Odd:
    """A difference: what both said, what the source had emitted by then, and where its log ended once that was told.

    `is_ripe` when the room had applied all of that; what was changed between the two reads is not the same next time.
    """

    original: str
    copy: str
    emitted: int
    end: int | None = None
    is_ripe: bool = False


@dataclass(frozen=True, slots=True)
class _Log:
    """How far a source's log is: the last number given, the last emission, the first one that has no number yet."""

    end: int
    emitted: int
    waiting: int | None


def check_copy(copy: Copy, source: Database, room: Database, deadline: float) -> list[Check]:
    """Compare a copy with its source, and again what differs, until it is the same, wrong, or the time is over.

    Args:
        copy: what is compared.
        source: database of the source.
        room: database of the copying room.
        deadline: of the monotonic clock, up to which the copy may catch up.
    """
    flaws, known, looks = Flaws(), dict[str, _Odd](), 0
    while True:
        checked, applied, log, found = _look(copy, source, room)
        looks += 1
        odd = {key: _again(known.get(key), one, applied, log) for key, one in found.items()}
        # What differs in another way each time is at work, and neither wrong nor behind.
        stayed = {key for key, one in odd.items() if looks > 1 and _is_same(known.get(key), one)}
        wrong = {key for key in stayed if known[key].is_ripe and odd[key].is_ripe}
        if not odd or (looks > 1 and (stayed == wrong or time.monotonic() >= deadline)):
            break
        known = odd
        time.sleep(_PAUSE)
    for key in sorted(wrong):
        flaws.add(
            f"{copy.name} {key}: {copy.room} has {odd[key].copy}, and {copy.source} has {odd[key].original}, of which "
            f"{copy.room} has applied all; bring the row back from a backup of {copy.room}"
        )
    late = Flaws()
    for key in sorted(stayed - wrong):
        late.add(f"{copy.name} {key}: {copy.room} has {odd[key].copy} and is behind {copy.source}; start the services")
    name = f"{copy.name} of {copy.source}"
    return [
        Check(f"copies of {name}", checked, flaws.told()),
        Check(f"copies of {name} caught up", checked, late.told(), passing=True),
    ]


def _is_same(before: _Odd | None, now: _Odd) -> bool:
    return before is not None and (before.original, before.copy) == (now.original, now.copy)


def _again(before: _Odd | None, now: _Odd, applied: int, log: _Log) -> _Odd:
    """Return a difference as it is known by now: from the first look on while both sides say the same."""
    same = before if before is not None and _is_same(before, now) else now
    if same.end is None and (log.waiting is None or log.waiting > same.emitted):
        # All that was emitted by then is numbered: whoever has applied up to here has applied it.
        same = replace(same, end=log.end)
    return replace(same, is_ripe=same.end is not None and applied >= same.end)


def _look(copy: Copy, source: Database, room: Database) -> tuple[int, int, _Log, dict[str, _Odd]]:
    """Return how many were compared, how far the room is, how far the log is, and what differs (at most a few)."""
    odd: dict[str, _Odd] = {}
    with Scratch() as originals, Scratch() as copies:

        def of_source(connection: Connection) -> _Log:
            log = _log(connection)
            for key, fact in copy.originals(connection):
                originals.add(key, fact)
            return log

        def of_room(connection: Connection) -> int:
            applied = read_place(connection, copy.source).sequence
            for key, fact in copy.copies(connection):
                copies.add(key, fact)
            return applied

        # The source first: what its log says by then is what the room can have applied at most of it.
        log = source.read(of_source, snapshot=True)
        applied = room.read(of_room, snapshot=True)
        for key, left, right in merged(originals.items(), copies.items()):
            said, kept = (facts[-1] if facts else ABSENT for facts in (left, right))
            if not copy.fits(said, kept) and len(odd) < 2 * MAX_FLAWS:
                odd[key] = _Odd(said, kept, log.emitted)
        return copies.count, applied, log, odd


def _log(connection: Connection) -> _Log:
    waiting = sa.select(sa.func.min(outbox.c.emission)).where(outbox.c.sequence.is_(None))
    return _Log(
        connection.scalar(sa.select(outbox_head.c.last_sequence)) or 0,
        connection.scalar(sa.select(sa.func.max(outbox.c.emission))) or 0,
        connection.scalar(waiting),
    )
