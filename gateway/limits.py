"""What one listener takes from its clients, and what all of its connections share (rules G2 to G4, G9)."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

from gateway.crowd import Crowd
from gateway.messages import Request, Response
from services.chassis.errors import ServiceError

Handler = Callable[[Request], Response]
ProblemMaker = Callable[[ServiceError, Request | None], Response]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server takes from its clients; sizes in bytes, times in seconds, rates in bytes a second.

    A whole request has `seconds`; its body comes at `body_rate` on average once `body_grace_seconds` are over.
    """

    body: int = 1 << 20
    head: int = 16 << 10
    seconds: float = 15.0
    body_grace_seconds: float = 3.0
    body_rate: int = 1 << 10
    connections: int = 200
    connections_of_address: int = 100
    connections_aside: int = 8
    aside_seconds: float = 2.0
    drain: int = 8 << 20
    drain_seconds: float = 3.0
    grace_seconds: float = 10.0


@dataclass(slots=True)
class Rules:
    """What all connections of one server share.

    Args:
        handler: answers a request; what it raises becomes a problem document.
        problem: turns an error into an answer; the only translator (gateway.problems).
        allowed_hosts: lower-case names for which this server answers; empty means any.
        trusted_proxies: addresses and networks whose X-Forwarded-For counts.
        limits: see `Limits`.
        crowd: the open connections.
        health: paths that are answered even when there is room for nothing else.
        stopping: the server ends; answers close their connections.
    """

    handler: Handler
    problem: ProblemMaker
    allowed_hosts: frozenset[str]
    trusted_proxies: Container[str]
    limits: Limits
    crowd: Crowd
    health: frozenset[str] = frozenset()
    stopping: bool = False
