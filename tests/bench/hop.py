"""The same hop through the chassis: envelope check, deadline, schema, entrypoint, reply; one server, one client.

Run by itself: `python -m tests.bench.hop serve URI`, and `... call URI IN_FLIGHT SECONDS`, which prints calls/s.
"""

# Sockets must be green before anything else is imported that may open one.
from services.chassis.bus import green  # noqa: F401  # isort: skip

import os
import sys
import time
from typing import Any

import eventlet
from marshmallow import fields

from services.chassis.bus.rpc import standalone
from services.chassis.context import Call
from services.chassis.fields import RequestSchema
from services.chassis.service.entrypoints import rpc
from services.chassis.service.runner import serve
from services.chassis.service.topology import declare_topology
from services.chassis.settings import Settings


class EchoRequest(RequestSchema):
    """What is sent and comes back."""

    number = fields.Integer(strict=True, required=True)
    text = fields.String(required=True)


class EchoService:
    """Answers with what it was asked."""

    name = "bench"

    @rpc(EchoRequest, public=True)
    def echo(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Return the request."""
        return request


def answer_calls(uri: str) -> int:
    """Serve until SIGTERM."""
    settings = Settings.from_environment({**os.environ, "TESSERA_AMQP_URI": uri})
    declare_topology(settings, [EchoService])
    return serve(settings, [EchoService], max_workers=16)


def call(uri: str, in_flight: int, seconds: float) -> float:
    """Return how many calls a second were answered with that many under way at once."""
    answered = 0
    with standalone(uri) as to:
        bench = to("bench")

        def caller() -> None:
            nonlocal answered
            while time.perf_counter() < end:
                bench.echo(Call(deadline=time.time() + 10), number=answered, text="how fast is a hop")
                answered += 1

        bench.echo(Call(deadline=time.time() + 10), number=0, text="connected")
        start = time.perf_counter()
        end = start + seconds
        pool = eventlet.GreenPool(in_flight)
        for _ in range(in_flight):
            pool.spawn(caller)
        pool.waitall()
        return answered / (time.perf_counter() - start)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        raise SystemExit(answer_calls(sys.argv[2]))
    print(call(sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
