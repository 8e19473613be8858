"""Calls to other services: bounded by the call's deadline, repeated only where a repetition is safe (rules R2-R6).

A process has one bus to its broker: one connection for requests and their replies (rule R16). A call that ends without
a reply has an unknown outcome and raises `service.unavailable`; the same command id tells the end state later.
"""

from __future__ import annotations

import itertools
import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import eventlet
from eventlet.event import Event
from eventlet.patcher import is_monkey_patched
from nameko.extensions import DependencyProvider, SharedExtension

from services.chassis import metrics
from services.chassis.bus import identity, wire
from services.chassis.bus.link import BrokerDown
from services.chassis.bus.listener import Listener, Subscription
from services.chassis.bus.publisher import Outgoing, Publisher
from services.chassis.bus.replies import Reply, open_reply
from services.chassis.context import Call
from services.chassis.data.db import in_transaction
from services.chassis.errors import ERRORS, invalid, unavailable

_HOP_SECONDS: Final = 0.1
_RESEND_PAUSE_SECONDS: Final = 0.2
_IN_PROGRESS: Final = "idempotency.in_progress"

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Pending:
    """A request whose reply has not come."""

    message: Outgoing
    deadline: float
    event: Event = field(default_factory=Event)
    sent: int = 1


class Bus:
    """One process's way to its broker; taken with `Bus.of` and given back with `release`."""

    _buses: dict[str, Bus] = {}

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._users = 0
        self._prefix = uuid.uuid4().hex
        self._numbers = itertools.count()
        self._pending: dict[str, _Pending] = {}
        self._resender: Any = None
        self._replies: Listener | None = None
        self._reply_to = wire.DIRECT_REPLY
        self.publisher = Publisher(uri, on_return=self._on_return, on_lost=self._resend, on_reply=self._on_reply)
        if uri.startswith("embedded"):
            self._reply_to = str(uuid.uuid4())
            self._replies = Listener(uri)
            queue = wire.temporary_queue(f"rpc.reply-{self._reply_to}", wire.RPC_EXCHANGE, self._reply_to)
            self._replies.add(Subscription(queue, self._on_reply, prefetch=0, no_ack=True))
            self._replies.start()

    @classmethod
    def of(cls, uri: str) -> Bus:
        """Return this process's bus to a broker, opening it for its first user.

        Raises:
            RuntimeError: sockets are not green, so that waiting for a reply would stop the whole process (rule D1).
        """
        if not is_monkey_patched("socket"):
            raise RuntimeError("Sockets are not green: import services.chassis.bus.green before the first call.")
        bus = cls._buses.get(uri)
        if bus is None:
            bus = cls._buses[uri] = cls(uri)
        bus._users += 1
        return bus

    def release(self) -> None:
        """Give the bus back; the last user closes it."""
        self._users -= 1
        if self._users <= 0 and self._buses.get(self.uri) is self:
            del self._buses[self.uri]
            if self._replies is not None:
                self._replies.close()
            self.publisher.close()

    def call(
        self,
        service: str,
        method: str,
        call: Call,
        kwargs: dict[str, Any],
        *,
        routing_key: str | None = None,
        caller: str | None = None,
    ) -> Reply:
        """Call a method of a service and wait for its answer until the call's deadline.

        Args:
            service: name of the service.
            method: name of its entrypoint.
            call: who asks, until when, under which command id.
            kwargs: the request, JSON values only.
            routing_key: in place of the method's usual one.
            caller: service of this process that signs the request in its own name.

        Raises:
            ServiceError: what the service answered, or `service.unavailable` when the outcome is not known.
            request.too_much_at_once: nothing was sent.
            RuntimeError: called inside a database transaction (rule D3), or through too many services (rule R14).
        """
        if in_transaction():
            raise RuntimeError(f"{service}.{method} was called inside a database transaction (rule D3).")
        passed = wire.hops.get() + 1
        # Leaves call nobody, and any service may have to ask one in the middle of its work.
        if passed > wire.MAX_HOPS and method not in wire.LEAF_METHODS:
            raise RuntimeError(
                f"{service}.{method} would be hop {passed}, at most {wire.MAX_HOPS} are allowed (rule R14)."
            )
        if call.remaining() <= _HOP_SECONDS:
            raise unavailable(
                "service.deadline_passed", "The request came too late to be processed and changed nothing; repeat it."
            )
        correlation_id = f"{self._prefix}-{next(self._numbers)}"
        message = self._request(routing_key or wire.request_key(service, method), call, kwargs, correlation_id, passed)
        if caller is not None:
            signed = identity.sign(caller, service, method, correlation_id, kwargs)
            message.headers.update({"nameko.caller": signed} if signed else {})
        pending = _Pending(message, call.deadline)
        self._pending[correlation_id] = pending
        try:
            self.publisher.send(pending.message)
            body = pending.event.wait(timeout=max(0.0, call.remaining()))
        except BrokerDown as error:
            _log.warning("%s.%s: %s", service, method, error)
            raise unavailable() from error
        finally:
            self._pending.pop(correlation_id, None)
        if body is None:
            raise unavailable()
        return open_reply(body, f"{service}.{method}")

    def _request(self, key: str, call: Call, kwargs: dict[str, Any], correlation_id: str, passed: int) -> Outgoing:
        headers: dict[str, Any] = {
            "nameko.request_id": call.request_id,
            # A float would lose its fraction in some AMQP clients, a text does not.
            "nameko.deadline": f"{call.deadline - _HOP_SECONDS:.3f}",
            "nameko.command_id": call.command_id,
            "nameko.language": call.language,
            "nameko.hops": passed,
        }
        if call.client_request_id:
            headers["nameko.client_request_id"] = call.client_request_id
        if call.token:
            headers["nameko.token"] = call.token
        properties = {
            "reply_to": self._reply_to,
            "correlation_id": correlation_id,
            # Unit and type of AMQP: milliseconds as text. The margin is for clocks that differ (rule R4).
            "expiration": str(int((call.remaining() + wire.SKEW_SECONDS) * 1000)),
            "delivery_mode": 1,
        }
        body = wire.encode({"args": [], "kwargs": kwargs})
        if len(body) > wire.MAX_BYTES:
            # The other side would bury it, and nobody would answer (rule R27).
            raise invalid("request.too_much_at_once", ERRORS["request.too_much_at_once"])
        return Outgoing("nameko-rpc", key, body, headers, properties, mandatory=True)

    def _on_reply(self, message: Any) -> None:
        pending = self._pending.get(message.properties.get("correlation_id"))
        if pending is None or pending.event.ready():
            return
        try:
            body = wire.open_body(message)
        except wire.BadMessage as error:
            _log.error("unreadable reply: %s", error)
            return
        refusal = body.get("error")
        if pending.sent > 1 and isinstance(refusal, dict) and _IN_PROGRESS in (refusal.get("exc_args") or ()):
            # Our own repetition met the first request still at work; its answer is the one to wait for.
            return
        pending.event.send(body)

    def _on_return(self, properties: dict[str, Any]) -> None:
        pending = self._pending.get(properties.get("correlation_id", ""))
        if pending is not None and not pending.event.ready():
            pending.event.send({"result": None, "error": wire.error_body(unavailable())})

    def _resend(self) -> None:
        # Requests and replies go without confirms: whatever was under way on a lost connection may be gone with it.
        # The command id makes one repetition safe; without a loss nothing is ever repeated.
        if self._resender is None and any(pending.sent == 1 for pending in self._pending.values()):
            self._resender = eventlet.spawn(self._resend_all)

    def _resend_all(self) -> None:
        try:
            while waiting := [p for p in self._pending.values() if p.sent == 1 and p.deadline > time.time()]:
                eventlet.sleep(_RESEND_PAUSE_SECONDS)
                for pending in waiting:
                    try:
                        self.publisher.send(pending.message)
                        pending.sent += 1
                    except BrokerDown:
                        break
        finally:
            self._resender = None


@dataclass(frozen=True, slots=True)
class ServiceClient:
    """A service as its callers see it: `client.get_device(call, device_id=…)` returns the answer.

    Args:
        bus: returns the bus to call through.
        service: name of the service.
        caller: returns the service that calls; its name is signed where no user's token stands for the caller.
        vouches: methods for which it is signed beside the user's token, since the caller answers for what it checked.
    """

    _bus: Callable[[], Bus]
    _service: str
    _caller: Callable[[], str | None] = lambda: None
    _vouches: Collection[str] = ()

    def call_with_meta(self, call: Call, method: str, /, **kwargs: Any) -> Reply:
        """Call a method and return its answer together with the mark of a replay."""
        room = self._caller()
        caller = room if not call.token or method in self._vouches else None
        with metrics.calling(room, self._service, method):
            return self._bus().call(self._service, method, call, kwargs, caller=caller)

    def _call(self, method: str, call: Call, /, **kwargs: Any) -> dict[str, Any]:
        return self.call_with_meta(call, method, **kwargs).result

    def __getattr__(self, method: str) -> Callable[..., dict[str, Any]]:
        if method.startswith("_"):
            raise AttributeError(method)
        return partial(self._call, method)


class BusExtension(SharedExtension):
    """Holds the process's bus for one container."""

    bus: Bus

    def setup(self) -> None:
        """Take the bus to the configured broker."""
        self.bus = Bus.of(self.container.config["AMQP_URI"])

    def stop(self) -> None:
        """Give the bus back."""
        self.bus.release()

    kill = stop


class Client(DependencyProvider):
    """Declares a service that a nameko service calls; the declared clients are the call graph (rule R14).

    Args:
        service: name of the service called.
        vouches: see `ServiceClient`.
    """

    holder = BusExtension()

    def __init__(self, service: str, *, vouches: Collection[str] = ()) -> None:
        self.service = service
        self._client = ServiceClient(
            lambda: self.holder.bus, service, lambda: str(self.container.service_name), vouches
        )

    def get_dependency(self, worker_ctx: Any) -> ServiceClient:
        """Return the client; it has no state of the worker."""
        return self._client


@contextmanager
def standalone(uri: str, caller: str | None = None) -> Iterator[Callable[[str], ServiceClient]]:
    """Open the bus for a script or a test; gives a function from a service's name to its client.

    Args:
        uri: broker address; `embedded://` reaches the services of the same process.
        caller: service of this process in whose name it calls.
    """
    bus = Bus.of(uri)
    try:
        yield lambda service: ServiceClient(lambda: bus, service, lambda: caller)
    finally:
        bus.release()
