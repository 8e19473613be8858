"""Methods of the chassis as plain nameko would have them: no claims, no outbox, no inbox."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import structlog

from services.chassis.bus import wire
from services.chassis.bus.listener import acknowledge
from services.chassis.bus.publisher import Outgoing
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.data.outbox import Event
from services.chassis.service.inbox import WATERMARK, Subscribe
from services.chassis.service.relay import Relay

_log = structlog.get_logger(__name__)
# Where a service's events go at once, by the service's name; its relay says it.
_publishers: Final[dict[str, Callable[[Mapping[str, Any]], None]]] = {}


def unprotect(put: Callable[[Any, str, Any], None], *, idempotency: bool = False, outbox: bool = False) -> None:
    """Take the inbox out of this process, and on request the claims and the outbox: events without it need no inbox.

    Args:
        put: `setattr` in a process that stays so, `monkeypatch.setattr` in a test.
        idempotency: a repeated command runs again.
        outbox: events are published after the commit, without a row and without a confirm.
    """
    put(Subscribe, "_catch_up", lambda self: None)
    put(Subscribe, "_take", _take_plainly)
    if outbox:
        put(Database, "_keep", lambda self, unit: None)
        put(Database, "_announce", _send_directly)
        put(Relay, "setup", _setup_of_a_relay(Relay.setup))
    if idempotency:
        put(Database, "command", _command)
        put(Database, "answered", lambda *arguments, **named: None)


def _command(
    self: Database, call: Call, name: str, request: Any, work: Callable[[Unit], Any], **options: object
) -> dict[str, Any] | None:
    answer: dict[str, Any] | None = self.write(work, call=call)
    return answer


def _setup_of_a_relay(setup: Callable[[Relay], None]) -> Callable[[Relay], None]:
    def replaced(self: Relay) -> None:
        setup(self)
        service = self.container.service_name

        def publish(document: Mapping[str, Any]) -> None:
            self._publisher.send(Outgoing(wire.events_exchange(service).name, document["type"], wire.encode(document)))

        _publishers[service] = publish

    return replaced


def _send_directly(self: Database, events: list[dict[str, Any]]) -> None:
    if (publish := _publishers.get(self.service)) is not None:
        for row in events:
            publish({**json.loads(row["event"]), "sequence": 0})


def _take_plainly(self: Subscribe, batch: list[Any]) -> None:
    """Acknowledge first and apply whatever is delivered, whenever it is."""
    for message in batch:
        acknowledge(message)
        document = wire.open_body(message)
        if document["type"] == WATERMARK:
            continue
        try:
            self.holder.database.write(partial(_handle, self, Event.from_document(document)))
        except Exception:
            _log.exception("event lost", source=self.source)


def _handle(inbox: Subscribe, event: Event, unit: Unit) -> None:
    inbox._call_method(unit, [event])
