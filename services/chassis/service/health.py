"""Life signs of a process: `ping`, through the broker and the same connection as its requests (rules R17, O1)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
import structlog

from services.chassis import metrics
from services.chassis.bus import wire
from services.chassis.data.figures import Waiting
from services.chassis.data.place import read_stopped
from services.chassis.service import figures
from services.chassis.service.entrypoints import RpcConsumer
from services.chassis.service.providers import DatabaseExtension, InternalMethod
from services.chassis.service.relay import measure_lag
from services.chassis.settings import Settings

_log = structlog.get_logger(__name__)


class HealthConsumer(RpcConsumer):
    """Takes the pings meant for this very process."""

    def _queue(self) -> Any:
        service, name = self.container.service_name, instance()
        return wire.temporary_queue(
            f"health-{service}-{name}", wire.RPC_EXCHANGE, wire.health_key(service, name), ttl_seconds=60
        )


class Health(InternalMethod):
    """Serves `ping`, on the service's queue and on one of this process's own, where the supervisor asks (rule R17).

    It also has the room's figures told while it runs.

    Args:
        waiting: what the room counts in its database besides what all rooms do.
        also: returns further samples by the settings; they stand in no database.
    """

    consumer = RpcConsumer()
    own = HealthConsumer()
    holder = DatabaseExtension()
    method_name = "ping"

    def __init__(
        self, waiting: Sequence[Waiting] = (), also: Callable[[Settings], Iterable[metrics.Sample]] = lambda _: ()
    ) -> None:
        self.waiting = waiting
        self.also = also

    def setup(self) -> None:
        """Register with both queues."""
        super().setup()
        self.own.register_provider(self)
        room, holder, also = self.container.service_name, self.holder, self.also
        told = figures.RoomFigures(room, lambda: holder.database, self.waiting, lambda: also(holder.settings))
        figures.watch(room, told)

    def stop(self) -> None:
        """Take no more pings."""
        figures.forget(self.container.service_name)
        self.own.unregister_provider(self)
        super().stop()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return which process answers and whether its database does; that it answers at all proves the broker."""
        ready = self.ready()
        return {
            "service": self.container.service_name,
            "instance": instance(),
            "pid": os.getpid(),
            "ready": ready,
            **(self._messaging() if ready else {}),
        }

    def _messaging(self) -> dict[str, Any]:
        """Tell what the broker cannot: measured here and not by the relay, which may hang (rules R25, R26)."""
        try:
            return {
                "outbox_lag_seconds": round(measure_lag(self.holder.database), 1),
                "stopped_sources": self.holder.database.read(read_stopped),
            }
        except Exception as error:
            # A database that is being migrated still answers.
            _log.warning("messaging is not measured", error=str(error)[:300])
            return {}

    def ready(self) -> bool:
        """Tell whether the service could work: its own database answers (rule O1)."""
        try:
            return bool(self.holder.database.read(lambda connection: connection.execute(sa.select(1)).scalar_one()))
        except Exception as error:
            _log.warning("database does not answer", error=str(error))
            return False


def instance() -> str:
    """Return the name of this process among those of its service; the supervisor gives it."""
    return os.environ.get("TESSERA_INSTANCE") or str(os.getpid())
