"""Green threads: the one place where the standard library is patched, and the check that it was (rule D1).

Import this module before anything that opens sockets or database connections.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # eventlet announces its own retirement on import; the way out is described in docs/decisions.
    warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
    import eventlet

eventlet.monkey_patch()


def assert_green() -> None:
    """Refuse to go on where a wait would stop the whole process.

    Raises:
        RuntimeError: sockets, threads or time are not green, or the PostgreSQL driver is one that blocks.
    """
    from eventlet import patcher

    plain = [name for name in ("socket", "thread", "time", "select") if not patcher.is_monkey_patched(name)]
    if plain:
        raise RuntimeError(f"not green: {', '.join(plain)}; import services.chassis.green first.")
    import psycopg2.extensions

    if psycopg2.extensions.get_wait_callback() is None:
        raise RuntimeError("psycopg2 has no green wait callback; import services.chassis.green before it.")
