"""What nameko service classes declare to get at their own database, and the methods that every service has."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
import structlog
from eventlet.greenpool import GreenPool
from nameko.extensions import DependencyProvider, SharedExtension

from services.chassis import metrics
from services.chassis.bus import identity, wire
from services.chassis.data import epochs, outbox
from services.chassis.data.db import Database
from services.chassis.data.tables import outbox_head
from services.chassis.errors import ServiceError, internal, invalid, unavailable
from services.chassis.keys.keystore import KeyStore
from services.chassis.service.entrypoints import LEAF_WORKERS, LeafConsumer, RpcConsumer
from services.chassis.settings import Settings

SETTINGS_KEY: Final = "TESSERA_SETTINGS"
_BACKGROUND_CONNECTIONS: Final = 4
_log = structlog.get_logger(__name__)


class DatabaseExtension(SharedExtension):
    """Holds a container's database, opened at its first use."""

    def __init__(self) -> None:
        self._database: Database | None = None

    @property
    def settings(self) -> Settings:
        """Return the settings that the runner was given."""
        settings: Settings = self.container.config[SETTINGS_KEY]
        return settings

    @property
    def database(self) -> Database:
        """Return the database of the container's service."""
        if self._database is None:
            size = self.container.max_workers + _BACKGROUND_CONNECTIONS
            self._database = Database.from_settings(self.settings, self.container.service_name, pool_size=size)
        return self._database

    def stop(self) -> None:
        """Close all connections."""
        if self._database is not None:
            self._database.close()

    kill = stop


class DatabaseProvider(DependencyProvider):
    """Gives workers the service's own `Database`."""

    holder = DatabaseExtension()

    def get_dependency(self, worker_ctx: Any) -> Database:
        """Return the database; transactions are opened by those who use it."""
        return self.holder.database


class SettingsProvider(DependencyProvider):
    """Gives workers the settings that the runner was given."""

    holder = DatabaseExtension()

    def get_dependency(self, worker_ctx: Any) -> Settings:
        """Return the settings."""
        return self.holder.settings


class KeyStoreProvider(DependencyProvider):
    """Gives workers the service's own keys."""

    holder = DatabaseExtension()

    def get_dependency(self, worker_ctx: Any) -> KeyStore | None:
        """Return the keys; a database that was opened by settings has them."""
        return self.holder.database.keystore


class InternalMethod(DependencyProvider):
    """A method that the chassis itself serves, without a schema and without a login; the base of the classes below."""

    consumer: RpcConsumer
    method_name = ""

    def setup(self) -> None:
        """Register with the consumer."""
        self._pool = GreenPool(LEAF_WORKERS)
        self.consumer.register_provider(self)

    def stop(self) -> None:
        """Take no more requests."""
        self.consumer.unregister_provider(self)

    def handle(self, message: Any, envelope: wire.Envelope) -> None:
        """Answer in a green thread of its own."""
        self.container.spawn_managed_thread(partial(self._pool.spawn, self._run, message, envelope))

    def check_caller(self, envelope: wire.Envelope) -> None:
        """Refuse who may not ask; anybody may, unless a method says otherwise."""

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer; what it raises goes to the caller as for any entrypoint."""
        raise NotImplementedError

    def _run(self, message: Any, envelope: wire.Envelope) -> None:
        started, result, error = time.perf_counter(), None, None
        try:
            if envelope.deadline < time.time():
                raise unavailable("service.deadline_passed")
            self.check_caller(envelope)
            result = self.answer(envelope.body["kwargs"])
        except ServiceError as refusal:
            error = refusal
        except Exception:
            _log.exception("unexpected error", method=self.method_name)
            error = internal()
        seconds = time.perf_counter() - started
        metrics.note_served(self.container.service_name, self.method_name, seconds, error)
        self.consumer.finish(message, envelope, {"result": result, "error": error and wire.error_body(error)})


class EventsLeaf(InternalMethod):
    """Serves `read_events(after, limit)`: the service's own log, for whoever missed something (rules R14, R15).

    Args:
        readers: the services that may read it; they sign their requests (rule S26).
    """

    consumer = LeafConsumer()
    holder = DatabaseExtension()
    method_name = "read_events"

    def __init__(self, *readers: str) -> None:
        self.readers = readers

    def check_caller(self, envelope: wire.Envelope) -> None:
        """Refuse everybody but the known readers.

        Raises:
            service.caller_refused: nobody signed the request, or somebody who is no reader.
        """
        identity.check(self.holder.settings, self.container.service_name, envelope, self.readers)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return `items` in order, as many as fit into one message, and where the log ends (R25, R27).

        `epoch` is the log's today, `at` the last event up to `after`, by which the asker sees that the log is the one
        that it has followed; `last_sequence` and `last_id` are those of the last event.

        Raises:
            request.invalid: `after` or `limit` is not a whole number of 0 or more.
        """
        after, limit = request.get("after", 0), request.get("limit", 100)
        for name, value in (("after", after), ("limit", limit)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise invalid("request.invalid", f"/{name}: {value!r} is not a whole number of 0 or more.")

        def read(connection: sa.Connection) -> dict[str, Any]:
            at = outbox.last_upto(connection, after)
            items = outbox.read_events(connection, after, limit) if limit else []
            end = connection.execute(sa.select(outbox_head.c.last_sequence)).scalar_one()
            last = outbox.last_upto(connection, end)
            return {
                "items": items,
                "epoch": epochs.current(connection),
                "at": {"sequence": at.sequence, "id": at.id} if at is not None else None,
                "last_sequence": last.sequence if last is not None else 0,
                "last_id": last.id if last is not None else None,
            }

        return self.holder.database.read(read)
