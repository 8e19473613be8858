"""Whoever listens to a room may read its log: a room that refuses a listener would leave it behind for ever (S26)."""

from __future__ import annotations

import inspect

import pytest

from deploy.rooms import GATEWAY, ROOMS, service_class
from services.chassis.inbox import Subscribe
from services.chassis.providers import EventsLeaf
from services.chassis.topology import _entrypoints


def listened() -> list[tuple[str, str]]:
    """Return every room that listens, with the source that it listens to."""
    return [
        (role, entrypoint.source)
        for role in (*ROOMS, GATEWAY)
        for entrypoint in _entrypoints(service_class(role))
        if isinstance(entrypoint, Subscribe)
    ]


@pytest.mark.parametrize(("reader", "source"), listened())
def test_a_source_knows_its_listeners(reader: str, source: str) -> None:
    (log,) = (one for _, one in inspect.getmembers(service_class(source)) if isinstance(one, EventsLeaf))
    assert reader in log.readers
