"""What stands on the wire: names of exchanges and queues, headers, and the check of an arriving message.

The format is nameko's own, so that its shell and proxies can talk to our services; only the checks are stricter.
"""

from __future__ import annotations

import json
import re
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from kombu import Exchange, Queue

from services.chassis.errors import ServiceError

JSON: Final = "application/json"
MAX_BYTES: Final = 1_572_864
MAX_DEPTH: Final = 32
MAX_HOPS: Final = 4
DEFAULT_SECONDS: Final = 5.0
SKEW_SECONDS: Final = 5.0
LEAF_METHODS: Final = frozenset({"read_events"})
PREFIX: Final = "nameko."

RPC_EXCHANGE: Final = Exchange("nameko-rpc", type="topic", durable=True)
DEAD_EXCHANGE: Final = "tessera.dead"
DEAD_QUEUE: Final = "dead-letters"
EXPIRED_QUEUE: Final = "expired-requests"
#: RabbitMQ's own address for "to the channel that asked": no queue is made, so none is left behind (rule R16).
DIRECT_REPLY: Final = "amq.rabbitmq.reply-to"

#: How many services the current green thread's call has already passed through.
hops: ContextVar[int] = ContextVar("tessera_hops", default=0)

_HEADER_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "token": (str,),
    "caller": (str,),
    "request_id": (str,),
    "client_request_id": (str,),
    "deadline": (int, float, str),
    "command_id": (str,),
    "language": (str,),
    "hops": (int,),
    "call_id_stack": (list,),
}
_STRUCTURE: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


class BadMessage(ValueError):
    """A message that cannot be a call or an event; the text is the reason that goes with it to the dead letters."""


@dataclass(slots=True)
class Envelope:
    """A checked request as it came from the queue."""

    method: str
    body: dict[str, Any]
    reply_to: str
    correlation_id: str
    token: str
    request_id: str
    deadline: float
    command_id: str
    language: str
    hops: int
    client_request_id: str = ""
    caller: str = ""
    """A service's signed name, where no user's token stands for the caller (`identity`)."""


def encode(value: Any) -> bytes:
    """Return the value as compact JSON.

    Raises:
        TypeError, ValueError: the value is not JSON.
    """
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def decode(body: bytes | str) -> Any:
    """Return the value of a JSON body within the limits of rule R11.

    Raises:
        BadMessage: too large, too deep, or not JSON.
    """
    raw = body.encode() if isinstance(body, str) else bytes(body)
    if len(raw) > MAX_BYTES:
        raise BadMessage(f"body of {len(raw)} bytes, at most {MAX_BYTES} are taken")
    # Most bodies have fewer brackets than the limit has levels; only the others are scanned.
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and _depth(raw) > MAX_DEPTH:
        raise BadMessage(f"JSON deeper than {MAX_DEPTH} levels")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"body is not JSON: {type(error).__name__}") from None


def _depth(raw: bytes) -> int:
    depth = deepest = 0
    for match in _STRUCTURE.finditer(raw):
        symbol = match.group()
        if symbol in (b"{", b"["):
            depth += 1
            deepest = max(deepest, depth)
        elif symbol in (b"}", b"]"):
            depth -= 1
    return deepest


def open_request(message: Any) -> Envelope:
    """Check a request and return it opened (rule R11).

    Args:
        message: kombu message from an RPC queue.

    Raises:
        BadMessage: it lacks what an answer needs, or has the wrong types, size, depth or content type.
    """
    properties = message.properties
    reply_to, correlation_id = properties.get("reply_to"), properties.get("correlation_id")
    if not isinstance(reply_to, str) or not reply_to:
        raise BadMessage("no reply_to")
    if not isinstance(correlation_id, str) or not correlation_id:
        raise BadMessage("no correlation_id")
    headers = _headers(message)
    body = open_body(message)
    if not isinstance(body.get("args", []), list) or not isinstance(body.get("kwargs"), dict):
        raise BadMessage("body without args and kwargs")
    return Envelope(
        method=message.delivery_info["routing_key"].rpartition(".")[2],
        body=body,
        reply_to=reply_to,
        correlation_id=correlation_id,
        token=headers.get("token", ""),
        request_id=headers.get("request_id") or correlation_id,
        deadline=_deadline(headers),
        # A redelivery keeps the correlation id, so it can stand in where a caller named no command (rule R2).
        command_id=headers.get("command_id") or correlation_id,
        language=headers.get("language", "en"),
        hops=headers.get("hops", 0),
        client_request_id=headers.get("client_request_id", "")[:64],
        caller=headers.get("caller", ""),
    )


def open_body(message: Any) -> dict[str, Any]:
    """Check the content type of a message and return its JSON object.

    Raises:
        BadMessage: another content type, or a body that is not one JSON object.
    """
    if message.content_type != JSON:
        raise BadMessage(f"content type {str(message.content_type)[:60]!r}, only {JSON} is taken")
    body = decode(message.body or b"")
    if not isinstance(body, dict):
        raise BadMessage("body is not a JSON object")
    return body


def _headers(message: Any) -> dict[str, Any]:
    headers = {}
    for name, value in (message.headers or {}).items():
        key = name.removeprefix(PREFIX)
        expected = _HEADER_TYPES.get(key)
        if expected is not None and (not isinstance(value, expected) or isinstance(value, bool)):
            raise BadMessage(f"header {key} is a {type(value).__name__}")
        headers[key] = value
    return headers


def _deadline(headers: dict[str, Any]) -> float:
    try:
        return float(headers.get("deadline", time.time() + DEFAULT_SECONDS))
    except ValueError:
        raise BadMessage("header deadline is not a number") from None


def error_body(error: ServiceError) -> dict[str, Any]:
    """Return the error in nameko's own shape, with our four strings as its arguments."""
    return {
        "exc_type": "ServiceError",
        "exc_path": "services.chassis.errors.ServiceError",
        "exc_args": [str(argument) for argument in error.args],
        "value": str(error),
    }


def reply_exchange(reply_to: str) -> str:
    """Return the exchange through which a reply gets to an address: the default one, or nameko's for its own queues."""
    return "" if reply_to.startswith(DIRECT_REPLY) else RPC_EXCHANGE.name


def request_key(service: str, method: str) -> str:
    """Return the routing key of a method; leaves have a queue of their own, so the key differs (rule R14)."""
    return f"{service}.leaf.{method}" if method in LEAF_METHODS else f"{service}.{method}"


def health_key(service: str, instance: str) -> str:
    """Return the routing key of the ping to one process of a service."""
    return f"{service}.health.{instance}.ping"


def durable_queue(name: str, exchange: Exchange, routing_key: str, **more: Any) -> Queue:
    """Return a quorum queue whose refused messages go to the dead letters (rule R9).

    The in-process broker ignores the arguments. `more` are further ones.
    """
    return Queue(
        name,
        exchange=exchange,
        routing_key=routing_key,
        durable=True,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-dead-letter-exchange": DEAD_EXCHANGE,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-delivery-limit": 20,
            **more,
        },
    )


def rpc_queue(service: str, *, leaf: bool = False) -> Queue:
    """Return the queue that a service's workers, or its leaf workers, take requests from.

    It is a classic one (docs/decisions/0007): requests live for seconds and are sent again under their command id, so
    that writing each to the disk of a quorum costs more than it gives. Refused and expired ones still go to the dead
    letters.
    """
    name, key = (f"rpc-{service}-leaf", f"{service}.leaf.*") if leaf else (f"rpc-{service}", f"{service}.*")
    dead = {"x-dead-letter-exchange": DEAD_EXCHANGE}
    return Queue(name, exchange=RPC_EXCHANGE, routing_key=key, durable=True, queue_arguments=dead)


def events_exchange(source: str) -> Exchange:
    """Return the exchange on which a service publishes its events."""
    return Exchange(f"{source}.events", type="topic", durable=True)


def events_queue(source: str, consumer: str) -> Queue:
    """Return the queue in which a consumer gets all events of a source.

    One process of the consumer gets them at a time, so that they usually come in order; the next one takes over.
    """
    name = f"evt-{source}-{consumer}"
    return durable_queue(name, events_exchange(source), "#", **{"x-single-active-consumer": True})


def temporary_queue(name: str, exchange: Exchange, routing_key: str, *, ttl_seconds: int = 300) -> Queue:
    """Return a classic queue that the broker removes once nobody has used it for `ttl_seconds`."""
    return Queue(
        name,
        exchange=exchange,
        routing_key=routing_key,
        durable=True,
        queue_arguments={"x-expires": ttl_seconds * 1000},
    )
