"""Every process sees every event: for caches only, since the position lives in memory (rule R20)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import eventlet
import structlog
from eventlet.queue import Empty, LightQueue

from services.chassis.bus import wire
from services.chassis.bus.listener import Listener, Subscription
from services.chassis.bus.rpc import Bus
from services.chassis.data.outbox import Event
from services.chassis.data.place import Document, Place, follow
from services.chassis.errors import ServiceError
from services.chassis.service.inbox import WATERMARK, fetch_events, is_to_be_asked, read_document

_POLL_SECONDS: Final = 1.0
_log = structlog.get_logger(__name__)


class Broadcast:
    """Feeds a function with the events of a source from now on, in order and without gaps.

    Args:
        uri: broker address.
        source: name of the service whose events are wanted.
        reader: the service in whose name the log is read.
        handler: gets events; must not raise, and must be quick.
        on_start: called once the place in the log is known, before the first event; for loading what was before.
    """

    def __init__(
        self,
        uri: str,
        source: str,
        reader: str,
        handler: Callable[[list[Event]], None],
        on_start: Callable[[], None] | None = None,
    ) -> None:
        self._bus = Bus.of(uri)
        self._source = source
        self._reader = reader
        self._handler = handler
        self._on_start = on_start
        self._place: Place | None = None
        self._waiting = LightQueue()
        self._listener = Listener(uri, on_connect=self._on_connect)
        self.queue_name = f"evt-{source}-cache-{uuid.uuid4()}"
        queue = wire.temporary_queue(self.queue_name, wire.events_exchange(source), "#", ttl_seconds=60)
        self._listener.add(Subscription(queue, self._waiting.put, prefetch=0, no_ack=True))
        self._thread: Any = None

    @property
    def ready(self) -> bool:
        """Tell whether the place in the source's log is known, so that nothing newer is missed."""
        return self._place is not None

    def start(self) -> None:
        """Start in the background; the broker or the source may still be away."""
        self._listener.start(wait=False)
        self._thread = eventlet.spawn(self._run)

    def stop(self) -> None:
        """Stop and forget the place."""
        if self._thread is not None:
            self._thread.kill()
        self._listener.close()
        self._bus.release()

    def _on_connect(self) -> None:
        # Whatever was published while the connection was away is asked for.
        self._waiting.put(None)

    def _run(self) -> None:
        backoff = 0.1
        while True:
            try:
                self._take(self._next())
                backoff = 0.1
            except Exception as error:
                if not isinstance(error, ServiceError):
                    _log.exception("unexpected error in a broadcast", source=self._source)
                _log.warning("broadcast pauses", source=self._source, error=str(error)[:300])
                self._waiting.put(None)
                eventlet.sleep(backoff)
                backoff = min(backoff * 2, 2.0)

    def _next(self) -> list[Any]:
        messages = []
        try:
            messages.append(self._waiting.get(timeout=None if self.ready else _POLL_SECONDS))
            while not self._waiting.empty():
                messages.append(self._waiting.get_nowait())
        except Empty:
            pass
        return messages

    def _take(self, messages: list[Any]) -> None:
        place = self._place
        if place is None:
            page = fetch_events(self._bus, self._source, 0, 0, reader=self._reader)
            if self._on_start is not None:
                self._on_start()
            place = self._place = Place(page["last_sequence"], page["last_id"], page["epoch"])
        documents: list[Document] = []
        for message in filter(None, messages):
            try:
                documents.append(read_document(message, self._source))
            except wire.BadMessage as error:
                _log.error("bad event", source=self._source, reason=str(error))
        self._apply([d for d in documents if d["type"] != WATERMARK and d.get("epoch") == place.epoch])
        if None in messages or is_to_be_asked(documents, self._place or place):
            self._catch_up()

    def _catch_up(self) -> None:
        while self._place is not None:
            page = fetch_events(self._bus, self._source, self._place.sequence, reader=self._reader)
            if (flaw := self._place.flaw(self._source, page)) is not None:
                # A cache forgets nothing that it knows, and takes up what the restored source knows.
                _log.critical("a source was restored to an older state; what is remembered is read anew", reason=flaw)
                self._place = None
                self._waiting.put(None)
                return
            self._place = replace(self._place, epoch=page["epoch"])
            if not page["items"]:
                return
            self._apply(page["items"])

    def _apply(self, documents: list[Document]) -> None:
        assert self._place is not None
        ready = follow(documents, self._place)
        if ready:
            self._handler([Event.from_document(document) for document in ready])
            self._place = self._place.after(ready[-1])
