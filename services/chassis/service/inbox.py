"""The inbox: applies a source's events in order, without gaps, once, in batches of one transaction (rules R15, L13).

The position of a consumer in a source's log is a row of its own database, advanced in the transaction of the effect;
so an event delivered twice is known by its number, and one that is missing is read from the source.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import eventlet
import structlog
from eventlet.event import Event as Signal
from eventlet.queue import Empty, LightQueue
from nameko.containers import WorkerContext
from nameko.extensions import Entrypoint, register_entrypoint

from services.chassis.bus import wire
from services.chassis.bus.listener import Subscription, acknowledge, bury
from services.chassis.bus.rpc import Bus, BusExtension
from services.chassis.context import Call
from services.chassis.data import figures
from services.chassis.data.db import Unit
from services.chassis.data.outbox import MAX_PAGE, Event
from services.chassis.data.place import Document, Place
from services.chassis.errors import ServiceError
from services.chassis.service.apply import Applier
from services.chassis.service.entrypoints import ListenerExtension
from services.chassis.service.providers import DatabaseExtension

BATCH: Final = 100
WATERMARK: Final = "watermark"
_COLLECT_SECONDS: Final = 0.03
_RETRY_POLL_SECONDS: Final = 1.0
_MAX_BACKOFF_SECONDS: Final = 10.0
_FETCH_SECONDS: Final = 5.0
_RECHECK_SECONDS: Final = 2.0
_LONGEST_ID: Final = 36

_log = structlog.get_logger(__name__)


def fetch_events(bus: Bus, source: str, after: int, limit: int = MAX_PAGE, *, reader: str) -> dict[str, Any]:
    """Read a source's log; returns `items` after a sequence, in order, and where the log is `at` and ends.

    Args:
        bus: to call through.
        source: whose log.
        after: sequence after which to read.
        limit: of documents.
        reader: the service that reads; it signs the request, and the source knows its readers (rule S26).

    Raises:
        ServiceError: the source does not answer.
    """
    call = Call(deadline=Call().deadline - 10.0 + _FETCH_SECONDS)
    return bus.call(source, "read_events", call, {"after": after, "limit": limit}, caller=reader).result


def read_document(message: Any, source: str) -> Document:
    """Return the event document of a message.

    Args:
        message: kombu message.
        source: whose event it has to be.

    Raises:
        BadMessage: it is not an event of this source.
    """
    document = wire.open_body(message)
    sequence = document.get("sequence")
    if document.get("source") != source or not isinstance(sequence, int) or isinstance(sequence, bool):
        raise wire.BadMessage("not an event of this source, or without a sequence")
    if document.get("type") != WATERMARK:
        if sequence < 1:
            raise wire.BadMessage(f"an event cannot have the sequence {sequence}")
        try:
            event = Event.from_document(document)
        except (KeyError, TypeError, ValueError) as error:
            raise wire.BadMessage(f"not an event document: {type(error).__name__} {error}"[:150]) from None
        if len(event.id) > _LONGEST_ID or event.time.tzinfo is None:
            raise wire.BadMessage("not an event document: id too long, or time without a zone")
    return document


def is_to_be_asked(documents: Iterable[Document], place: Place) -> bool:
    """Tell whether messages hint at something that only the source's own log can tell: more events, or others."""
    for document in documents:
        sequence, event_id = document["sequence"], document.get("id")
        if document["type"] == WATERMARK:
            event_id = document.get("lastid")
            if sequence < place.sequence:
                return True
        if sequence > place.sequence or document.get("epoch") != place.epoch:
            return True
        if sequence == place.sequence and event_id != place.event_id:
            return True
    return False


class Subscribe(Entrypoint):
    """Feeds a method `(self, unit, events)` with the events of one source; made by `subscribe`."""

    bus = BusExtension()
    listener = ListenerExtension()
    holder = DatabaseExtension()

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source

    def setup(self) -> None:
        """Listen to the queue of this source for this service."""
        self._stopped = False
        self._waiting = LightQueue()
        self._applier = Applier(self.holder.database, self.source, self._call_method)
        self._asked_at = 0.0
        queue = wire.events_queue(self.source, self.container.service_name)
        self._subscription = Subscription(queue, self._waiting.put, prefetch=2 * BATCH)
        self.listener.listener.add(self._subscription)

    def start(self) -> None:
        """Start applying, beginning with what happened while nobody listened."""
        self._ended = Signal()
        self.container.spawn_managed_thread(self._run)
        self.container.spawn_managed_thread(self._retry)

    def stop(self) -> None:
        """Stop after the running batch."""
        self._stopped = True
        self.listener.listener.cancel(self._subscription)
        self._ended.wait(timeout=10)

    def _run(self) -> None:
        backoff = 0.1
        batch: list[Any] = []
        must_catch_up = True
        while not self._stopped:
            try:
                if must_catch_up:
                    self._catch_up()
                must_catch_up = True
                batch = batch or self._collect()
                self._take(batch)
                backoff, batch, must_catch_up = 0.1, [], self._must_ask_again()
            except Exception as error:
                # The database or the source is away; the messages stay unacknowledged and are taken again.
                _log.warning("inbox pauses", source=self.source, error=f"{type(error).__name__}: {error}"[:300])
                if not isinstance(error, ServiceError):
                    _log.exception("unexpected error in the inbox", source=self.source)
                eventlet.sleep(backoff)
                backoff = min(backoff * 2, _MAX_BACKOFF_SECONDS)
        self._ended.send(True)

    def _collect(self) -> list[Any]:
        """Wait for a message, then a moment longer for those that come with it."""
        try:
            batch = [self._waiting.get(timeout=_RETRY_POLL_SECONDS)]
        except Empty:
            return []
        eventlet.sleep(_COLLECT_SECONDS)
        while len(batch) < BATCH and not self._waiting.empty():
            batch.append(self._waiting.get_nowait())
        return batch

    def _take(self, batch: list[Any]) -> None:
        documents = []
        for message in list(batch):
            try:
                documents.append(read_document(message, self.source))
            except wire.BadMessage as error:
                batch.remove(message)
                bury(message, str(error), self.bus.bus.publisher)
        events = [document for document in documents if document["type"] != WATERMARK]
        for document in documents[-1:]:
            figures.heard(self.container.service_name, self.source, document["sequence"])
        # Now and then the row itself is looked at: our own database may have been restored under us.
        place = self._applier.place(fresh=any(document["type"] == WATERMARK for document in documents))
        # A message may have been under way since before the source was restored: only its database is believed then.
        self._applier.apply([event for event in events if event.get("epoch") == place.epoch])
        if place.stopped is None and is_to_be_asked(documents, self._applier.place()):
            _log.info("events are missing and are read from the source", source=self.source)
            self._catch_up()
        for message in batch:
            acknowledge(message)

    def _catch_up(self) -> None:
        self._asked_at = time.monotonic()
        while not self._stopped:
            place = self._applier.place(fresh=True)
            page = fetch_events(self.bus.bus, self.source, place.sequence, reader=self.container.service_name)
            figures.heard(self.container.service_name, self.source, page["last_sequence"])
            if not self._applier.check(place, page) or not page["items"]:
                return
            self._applier.apply(page["items"])

    def _must_ask_again(self) -> bool:
        """Tell whether it is time to see if a source that we stopped to follow was reconciled."""
        return self._applier.place().stopped is not None and time.monotonic() - self._asked_at > _RECHECK_SECONDS

    def _retry(self) -> None:
        while not self._stopped:
            eventlet.sleep(_RETRY_POLL_SECONDS)
            try:
                self._applier.retry_due()
            except Exception as error:
                _log.warning("retries pause", source=self.source, error=f"{type(error).__name__}: {error}"[:300])

    def _call_method(self, unit: Unit, events: list[Event]) -> None:
        service = self.container.service_cls()
        self.container._inject_dependencies(WorkerContext(self.container, service, self))
        getattr(service, self.method_name)(unit, events)


def subscribe(source: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Feed a method `(self, unit, events)` with a source's events, each once and in order.

    The method runs inside the transaction that advances the position: it makes no calls (rule D3), ignores types that
    it does not know, and may get an event that had failed before out of order.

    Args:
        source: name of the service whose events are wanted.
    """

    def register(method: Callable[..., Any]) -> Callable[..., Any]:
        register_entrypoint(method, Subscribe(source))
        return method

    return register
