"""Yardstick of a hop: request and reply over AMQP with the bare client library, JSON bodies, one server, one client.

Run by itself: `python -m tests.bench.raw_amqp serve URI`, and `... call URI IN_FLIGHT SECONDS`, which prints calls/s.
"""

import json
import sys
import time
from typing import Any
from urllib.parse import unquote, urlsplit

import amqp

QUEUE = "bench-raw"
REPLY_TO = "amq.rabbitmq.reply-to"


def open_channel(uri: str) -> tuple[Any, Any]:
    """Connect to `amqp://user:password@host:port/vhost` and return the connection and a channel."""
    parts = urlsplit(uri)
    connection = amqp.Connection(
        host=f"{parts.hostname}:{parts.port}", userid=unquote(parts.username or ""),
        password=unquote(parts.password or ""), virtual_host=unquote(parts.path.removeprefix("/")) or "/",
    )  # fmt: skip
    connection.connect()
    return connection, connection.channel()


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
