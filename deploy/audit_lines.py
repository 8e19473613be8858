"""Which events and lines of history are not the same, once two digests of a log differ: each is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from services.chassis.data.audit.checks import Check, Flaws, Log, Report, events, log_of
from services.chassis.data.audit.sorted import merged
from services.chassis.data.db import Database
from services.chassis.data.outbox import Event
from services.chassis.settings import Settings
from services.history.audit import lines_as_events

_WIDTH = 20


def name_differences(settings: Settings, compared: Report, logs: Sequence[Log]) -> Report:
    """Return the comparison of logs with history with each event named that has no line, or another one.

    Args:
        settings: where the databases are.
        compared: what history's audit says of the logs.
        logs: that it compared.
    """
    by_name = {f"one line per event of {log.source}": log for log in logs}

    def named(check: Check) -> Check:
        log = by_name.get(check.name)
        return replace(check, flaws=(*check.flaws, *_differences(settings, log))) if log and check.flaws else check

    return replace(compared, checks=tuple(named(check) for check in compared.checks))


def _differences(settings: Settings, log: Log) -> tuple[str, ...]:
    flaws = Flaws()
    source = Database.from_settings(settings, log.source, pool_size=1)
    history = Database.from_settings(settings, "history", pool_size=1)
    try:
        with source.engine.connect() as told, history.engine.connect() as kept:
            numbered = (event for row, event in events(told) if row.sequence is not None and event.sequence <= log.last)
            lines = lines_as_events(kept, log)
            for _, said, found in merged(_by_sequence(numbered), _by_sequence(lines)):
                if flaw := _flaw(said, found):
                    flaws.add(flaw)
    finally:
        source.close()
        history.close()
    return flaws.told()


def _by_sequence(some: Iterable[Event]) -> Iterator[tuple[str, Event]]:
    for event in some:
        yield f"{event.sequence:0{_WIDTH}}", event


def _flaw(said: Sequence[Event], found: Sequence[Event]) -> str | None:
    if not found:
        return f"event {said[0].id}, number {said[0].sequence}, {said[0].type} of {said[0].subject}, has no line"
    line = found[0]
    name = f"the line of event {line.id}, number {line.sequence}, {line.type} of {line.subject},"
    if not said:
        return f"{name} is of no event of {line.source}"
    if len(found) > 1 or _digest(said[0]) != _digest(line):
        return f"{name} says something else than the event"
    return None


def _digest(event: Event) -> str:
    return log_of(event.source, event.sequence, event.sequence, [event]).digest
