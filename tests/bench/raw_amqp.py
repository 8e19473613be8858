"""Yardstick of a hop: request and reply over AMQP with the bare client library, JSON bodies, one server, one client.

As good as the library can be made from outside: all that has come is read at once, and what is written in answer to it
leaves in one piece, when there is nothing more to read. Run by itself: `python -m tests.bench.raw_amqp serve URI`, and
`... call URI IN_FLIGHT SECONDS`, which prints calls/s.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import amqp

QUEUE = "bench-raw"
REPLY_TO = "amq.rabbitmq.reply-to"
_READ_BYTES = 65_536


class Coalesced:
    """Stands between py-amqp and its socket: writes wait until the next read would wait.

    Args:
        receive: the socket's `recv`.
        send: the socket's `sendall`.
    """

    def __init__(self, receive: Callable[[int], bytes], send: Callable[[bytes], None]) -> None:
        self._receive = receive
        self._send = send
        self._unwritten: list[bytes] = []
        self._unread = b""
        self._offset = 0

    def write(self, frames: Any) -> None:
        """Keep frames; py-amqp uses its buffer again, so they are copied."""
        self._unwritten.append(bytes(frames))

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; sends what was written before it waits for more."""
        if self._offset == len(self._unread):
            if self._unwritten:
                self._send(b"".join(self._unwritten))
                self._unwritten.clear()
            self._unread, self._offset = self._receive(_READ_BYTES), 0
        start, self._offset = self._offset, min(self._offset + size, len(self._unread))
        return self._unread[start : self._offset]


def open_channel(uri: str) -> tuple[Any, Any]:
    """Connect to `amqp://user:password@host:port/vhost` and return the connection and a channel."""
    parts = urlsplit(uri)
    connection = amqp.Connection(
        host=f"{parts.hostname}:{parts.port}", userid=unquote(parts.username or ""),
        password=unquote(parts.password or ""), virtual_host=unquote(parts.path.removeprefix("/")) or "/",
    )  # fmt: skip
    connection.connect()
    # The library would look at the socket before every message for a broker that takes none.
    connection.client_properties["capabilities"]["connection.blocked"] = False
    channel = connection.channel()
    transport = connection.transport
    coalesced = Coalesced(transport.sock.recv, transport.sock.sendall)
    transport._write, transport._quick_recv = coalesced.write, coalesced.read
    return connection, channel


def serve(uri: str) -> None:
    """Answer each request with its own keyword arguments, until the process is ended."""
    connection, channel = open_channel(uri)
    channel.queue_declare(QUEUE, auto_delete=True)
    channel.basic_qos(0, 64, False)

    def answer(message: Any) -> None:
        request = json.loads(message.body)
        body = json.dumps({"result": request["kwargs"], "error": None})
        reply = amqp.Message(body, correlation_id=message.properties["correlation_id"])
        channel.basic_publish(reply, exchange="", routing_key=message.properties["reply_to"])
        channel.basic_ack(message.delivery_tag)

    channel.basic_consume(QUEUE, callback=answer)
    while True:
        connection.drain_events()


def call(uri: str, in_flight: int, seconds: float) -> float:
    """Return how many calls a second were answered with that many under way at once."""
    connection, channel = open_channel(uri)
    answered = sent = 0

    def count(message: Any) -> None:
        nonlocal answered
        assert json.loads(message.body)["error"] is None
        answered += 1

    channel.basic_consume(REPLY_TO, no_ack=True, callback=count)
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        while sent - answered < in_flight:
            body = json.dumps({"args": [], "kwargs": {"number": sent, "text": "how fast is a hop"}})
            request = amqp.Message(body, correlation_id=str(sent), reply_to=REPLY_TO)
            channel.basic_publish(request, exchange="", routing_key=QUEUE)
            sent += 1
        connection.drain_events()
    connection.close()
    return answered / elapsed


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    print(call(sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
