"""Green threads: the one place where the standard library is patched, and the check that it was (rule D1).

Import this module before anything that opens sockets or database connections.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
import warnings
from typing import Any

# eventlet's own resolver costs each process 8 MB and a third of its import time; ours is below.
os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")

with warnings.catch_warnings():
    # eventlet announces its own retirement on import; the way out is described in docs/decisions.
    warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
    import eventlet
    from eventlet.green import socket as green_socket


def _import_without(module: str, absent: str) -> None:
    """Import a module as if an optional package of it were not installed."""
    if absent not in sys.modules:
        sys.modules[absent] = None  # type: ignore[assignment]
        importlib.import_module(module)
        del sys.modules[absent]


# Logs are JSON, so structlog needs no rich for colors (4 MB); messages are JSON, so kombu needs no YAML (2 MB), which
# must never be read from a message anyway (rule R12).
_import_without("structlog", "rich")
_import_without("kombu.serialization", "yaml")

_blocking_getaddrinfo = socket.getaddrinfo


def getaddrinfo(
    host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> list[tuple[Any, ...]]:
    """Resolve a name as the system does, in a native thread, so that a slow name server stops nobody else.

    Raises:
        socket.gaierror: the name has no address.
    """
    try:
        return _blocking_getaddrinfo(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
    except socket.gaierror:
        from eventlet import tpool  # its threads start at the first use, and an address needs none

        found: list[tuple[Any, ...]] = tpool.execute(_blocking_getaddrinfo, host, port, family, type, proto, flags)
        return found


green_socket.getaddrinfo = getaddrinfo
eventlet.monkey_patch()


def assert_green() -> None:
    """Refuse to go on where a wait would stop the whole process.

    Raises:
        RuntimeError: sockets, threads or time are not green, or the PostgreSQL driver is one that blocks.
    """
    from eventlet import patcher

    plain = [name for name in ("socket", "thread", "time", "select") if not patcher.is_monkey_patched(name)]
    if plain:
        raise RuntimeError(f"not green: {', '.join(plain)}; import services.chassis.bus.green first.")
    import psycopg2.extensions

    if psycopg2.extensions.get_wait_callback() is None:
        raise RuntimeError("psycopg2 has no green wait callback; import services.chassis.bus.green before it.")
