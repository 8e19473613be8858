"""The `rpc` entrypoint: what stands between the queue and a method that gets a verified caller and a loaded request.

A message is checked before a worker is spawned for it, so that no message can end the service (rules R11, R12).
The rest (deadline, token, schema) happens in the worker, since it may wait; a failed request never gets to the method.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any, Final

import eventlet
import structlog
from eventlet.greenpool import GreenPool
from marshmallow import Schema
from nameko.exceptions import ContainerBeingKilled
from nameko.extensions import Entrypoint, ProviderCollector, SharedExtension, register_entrypoint

from services.chassis.bus import identity, wire
from services.chassis.bus.link import BrokerDown
from services.chassis.bus.listener import Listener, Subscription, acknowledge, bury
from services.chassis.bus.publisher import Outgoing
from services.chassis.bus.rpc import BusExtension
from services.chassis.context import Call
from services.chassis.data import db
from services.chassis.errors import ERRORS, ServiceError, internal, invalid, unavailable
from services.chassis.keys import tokens
from services.chassis.wrong_fields import load_request

LEAF_WORKERS: Final = 4
_SETTINGS_KEY: Final = "TESSERA_SETTINGS"

_log = logging.getLogger(__name__)
_unexpected = structlog.get_logger(__name__)


class ListenerExtension(SharedExtension):
    """The one connection on which a container takes messages."""

    def __init__(self) -> None:
        self._listener: Listener | None = None

    @property
    def listener(self) -> Listener:
        """Return the container's listener; it connects when the container starts."""
        if self._listener is None:
            self._listener = Listener(self.container.config["AMQP_URI"])
        return self._listener

    def start(self) -> None:
        """Connect and wait until the queues are declared; a broker that is away is waited for."""
        self.listener.start()

    def stop(self) -> None:
        """Disconnect, after the workers have ended."""
        self.listener.close()

    kill = stop


class RpcConsumer(SharedExtension, ProviderCollector):
    """Takes requests from the service's queue and gives each to the entrypoint it names."""

    leaf = False
    bus = BusExtension()
    source = ListenerExtension()

    def __init__(self) -> None:
        super().__init__()
        self._subscription: Subscription | None = None
        self._methods: dict[str, Rpc] = {}

    def register_provider(self, provider: Rpc) -> None:
        """Serve one more method; the first one subscribes to the queue."""
        super().register_provider(provider)
        self._methods[provider.method_name] = provider
        if self._subscription is None:
            prefetch = LEAF_WORKERS if self.leaf else self.container.max_workers
            self._subscription = Subscription(self._queue(), self._handle, prefetch=prefetch)
            self.source.listener.add(self._subscription)

    def unregister_provider(self, provider: Rpc) -> None:
        """Stop serving; the first method that stops cancels the queue for all, since a container stops as a whole."""
        if self._subscription is not None:
            self.source.listener.cancel(self._subscription)
            self._subscription = None
        super().unregister_provider(provider)

    def _queue(self) -> Any:
        return wire.rpc_queue(self.container.service_name, leaf=self.leaf)

    def _handle(self, message: Any) -> None:
        try:
            envelope = wire.open_request(message)
        except wire.BadMessage as error:
            # Publishing may wait for the broker, and the reader of the connection must not.
            eventlet.spawn_n(bury, message, str(error), self.bus.bus.publisher)
            return
        provider = self._methods.get(envelope.method)
        if provider is None:
            refusal = invalid(
                "request.not_found", f"{self.container.service_name} has no method {envelope.method[:80]!r}."
            )
            eventlet.spawn_n(self.finish, message, envelope, {"result": None, "error": wire.error_body(refusal)})
            return
        provider.handle(message, envelope)

    def finish(self, message: Any, envelope: wire.Envelope, body: Mapping[str, Any]) -> None:
        """Send the reply, then acknowledge the request; in this order, so that a crash between repeats it (rule R1).

        An answer that is larger than a message may be is replaced by a refusal, since the caller would drop it (R27).
        """
        self.reply(message, envelope, wire.encode(body))

    def reply(self, message: Any, envelope: wire.Envelope, content: bytes) -> None:
        """Do what `finish` does with a reply that is bytes already."""
        if len(content) > wire.MAX_BYTES:
            _log.error("the answer of %s has %d bytes and was refused", envelope.method, len(content))
            refusal = invalid("request.answer_too_large", ERRORS["request.answer_too_large"])
            content = wire.encode({"result": None, "error": wire.error_body(refusal), "replayed": False})
        try:
            self.bus.bus.publisher.send(
                Outgoing(
                    wire.reply_exchange(envelope.reply_to),
                    envelope.reply_to,
                    content,
                    properties={"correlation_id": envelope.correlation_id},
                )
            )
        except BrokerDown as error:
            # The work is done and stored under its command id; the caller asks again. nameko would end here.
            _log.warning("a reply could not be sent: %s", error)
        acknowledge(message)


class LeafConsumer(RpcConsumer):
    """The same for leaf methods, which have a queue of their own (rule R14)."""

    leaf = True


class Rpc(Entrypoint):
    """One method that can be called by RPC; made by `rpc`."""

    consumer: RpcConsumer = RpcConsumer()
    pool: GreenPool | None = None

    def __init__(
        self,
        schema: type[Schema] | None = None,
        *,
        public: bool = False,
        callers: Collection[str] = (),
        vouched_by: Collection[str] = (),
    ) -> None:
        # A refusal is an everyday answer, not an incident: nameko shall not log it with a traceback.
        super().__init__(expected_exceptions=(ServiceError,))
        self.schema = schema
        self.public = public
        self.callers = callers
        self.vouched_by = vouched_by
        self._loader = schema() if schema is not None else None

    def setup(self) -> None:
        """Register with the consumer of the service's queue."""
        self.consumer.register_provider(self)

    def stop(self) -> None:
        """Take no more requests."""
        self.consumer.unregister_provider(self)

    def handle(self, message: Any, envelope: wire.Envelope) -> None:
        """Let a worker answer a checked request, without ever making the reader of the connection wait."""
        if self.container._worker_pool.free() > 0:
            self._spawn(message, envelope)
        else:
            # After a reconnect the workers of lost messages may still be busy.
            self.container.spawn_managed_thread(partial(self._spawn, message, envelope))

    def _spawn(self, message: Any, envelope: wire.Envelope) -> None:
        try:
            self.container.spawn_worker(
                self,
                # nameko unpacks the arguments inside the worker, where an error becomes the answer.
                self._arguments(envelope),
                {},
                handle_result=partial(self._answer, message, envelope),
            )
        except ContainerBeingKilled:
            _log.info("not started, since the service is ending: %s", envelope.method)

    def _arguments(self, envelope: wire.Envelope) -> Iterator[Any]:
        """Yield the call and the loaded request.

        Raises:
            service.deadline_passed: nobody waits for the answer any more (rule R4).
            token.missing, token.invalid, token.expired: no valid login, on a method that needs one.
            service.caller_refused: no service signed the request that may send it.
            request.invalid: the request does not fit its schema.
        """
        structlog.contextvars.bind_contextvars(request_id=envelope.request_id, method=envelope.method)
        if envelope.client_request_id:
            structlog.contextvars.bind_contextvars(client_request_id=envelope.client_request_id)
        wire.hops.set(envelope.hops)
        if envelope.deadline < time.time():
            raise unavailable(
                "service.deadline_passed", "The request came too late to be processed and changed nothing; repeat it."
            )
        if self.callers or self.vouched_by:
            settings = self.container.config[_SETTINGS_KEY]
            identity.check(settings, self.container.service_name, envelope, [*self.callers, *self.vouched_by])
        claims: Mapping[str, Any] = {} if self.public or self.callers else tokens.verify(envelope.token)
        yield Call(
            claims=claims,
            token=envelope.token,
            request_id=envelope.request_id,
            client_request_id=envelope.client_request_id,
            deadline=envelope.deadline,
            command_id=envelope.command_id,
            language=envelope.language,
        )
        yield load_request(self._loader, envelope.body["kwargs"])

    def _answer(
        self, message: Any, envelope: wire.Envelope, worker_ctx: Any, result: Any, exc_info: Any
    ) -> tuple[Any, Any]:
        body: dict[str, Any] = {"result": result, "error": None, "replayed": db.last_was_replay()}
        if exc_info is not None:
            refusal = self._refusal(exc_info)
            # What is never stored was never replayed, though the call's first step may have been. What the room of a
            # later step had stored is a replay to whoever asked for the whole.
            replayed = (body["replayed"] or refusal.replayed) and refusal.is_final
            body = {"result": None, "error": wire.error_body(refusal), "replayed": replayed}
        try:
            content = wire.encode(body)
        except (TypeError, ValueError):
            _unexpected.exception("result is not JSON", method=self.method_name)
            content = wire.encode({"result": None, "error": wire.error_body(internal()), "replayed": False})
        self.consumer.reply(message, envelope, content)
        return result, exc_info

    def _refusal(self, exc_info: Any) -> ServiceError:
        error = exc_info[1]
        if isinstance(error, ServiceError):
            return error
        _unexpected.error("unexpected error", method=self.method_name, exc_info=exc_info)
        return internal()


def rpc(
    schema: type[Schema] | None = None,
    *,
    public: bool = False,
    callers: Collection[str] = (),
    vouched_by: Collection[str] = (),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a method `(self, call, request)` callable by RPC.

    Args:
        schema: marshmallow class that the request is loaded by; without one the request is passed as it came.
        public: whether it may be called without a login; its `call.claims` are then empty.
        callers: services that may call it in their own name, without a login; nobody else may.
        vouched_by: services that may call it for a login, since they checked what its user could only claim; their
            declared `Client` names it in `vouches`.
    """

    def register(method: Callable[..., Any]) -> Callable[..., Any]:
        register_entrypoint(method, Rpc(schema, public=public, callers=callers, vouched_by=vouched_by))
        return method

    return register
