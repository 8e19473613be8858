"""Declares exchanges, queues and bindings before services start: an event without a queue is lost (rule R7)."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from kombu import Exchange, Queue
from nameko.extensions import ENTRYPOINT_EXTENSIONS_ATTR

from services.chassis.bus import wire
from services.chassis.bus.link import Link
from services.chassis.bus.listener import declare_dead_letters
from services.chassis.service.entrypoints import Rpc
from services.chassis.service.inbox import Subscribe
from services.chassis.service.providers import EventsLeaf
from services.chassis.service.relay import Relay
from services.chassis.settings import Settings


def declare_topology(settings: Settings, services: Iterable[type], *, limit: float = 30.0) -> None:
    """Declare all that the services need of the broker; what exists already stays as it is.

    Args:
        settings: names the broker.
        services: nameko service classes, subscribers included.
        limit: seconds it may take.

    Raises:
        BrokerDown: the broker is away, or has one of the queues with other properties.
    """
    classes = list(services)

    def declare(link: Link) -> None:
        channel = link.channel()
        if link.is_amqp:
            declare_dead_letters(channel)
        for service in classes:
            for entity in needed(service):
                entity(channel).declare()

    Link(settings.amqp_uri, declare, limit=limit).close()


def needed(service: type) -> Iterator[Exchange | Queue]:
    """Yield the exchanges and queues of one service class, read from what it declares."""
    name = service.name  # type: ignore[attr-defined]
    entrypoints = list(_entrypoints(service))
    providers = [provider for _, provider in inspect.getmembers(service)]
    if any(isinstance(entrypoint, Rpc) for entrypoint in entrypoints):
        yield wire.rpc_queue(name)
    if any(isinstance(provider, EventsLeaf) for provider in providers):
        yield wire.rpc_queue(name, leaf=True)
    if any(isinstance(provider, Relay) for provider in providers):
        yield wire.events_exchange(name)
    for entrypoint in entrypoints:
        if isinstance(entrypoint, Subscribe):
            yield wire.events_queue(entrypoint.source, name)


def _entrypoints(service: type) -> Iterator[Any]:
    for _, method in inspect.getmembers(service, inspect.isfunction):
        yield from getattr(method, ENTRYPOINT_EXTENSIONS_ATTR, ())
