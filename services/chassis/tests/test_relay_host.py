"""The host of a relay loses its network while it holds the lock: another one goes on, and each event stays one event.

Issue 6.4: "the relay's lock ends with its host (keepalive, lease)". The holder reaches broker and database through
proxies that swallow everything from then on and close nothing: to both servers it is there and silent, as a host
behind a dead switch is; its own process runs on and tries.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from urllib.parse import urlsplit

from kombu import Connection, Queue

from services.chassis.bus import wire
from services.chassis.service.relay import LEASE_SECONDS
from services.chassis.service.topology import declare_topology
from services.chassis.tests.messaging_world import (
    SinkService,
    SourceService,
    make_settings,
    opened,
    prepare,
    relay_locks,
    running,
    words,
)
from services.chassis.tests.test_events import ROOT, emit
from tests.rig import Server, wait_until
from tests.rig.proxy import Mode, Proxy

_HOLDER = (
    "import services.chassis.bus.green, sys\n"
    "from services.chassis.service.runner import serve\n"
    "from services.chassis.settings import Settings\n"
    "from services.chassis.tests.messaging_world import SourceService\n"
    "sys.exit(serve(Settings.from_environment(), [SourceService]))\n"
)
TAKEN_OVER_WITHIN = LEASE_SECONDS * 6.0
"""Seconds: the lease and a margin for crowded machines and for reads that reached the silent host; without the lease
the lock stays for the hours of the system's keepalive."""


def test_a_relay_without_network_is_followed_by_another_and_each_event_stays_one(
    vhost: str, postgresql: Server, tmp_path: Path
) -> None:
    mark = f"host_{os.getpid()}"
    for service in ("source", "sink"):
        postgresql.create_database(f"{mark}_{service}")
    settings = make_settings(tmp_path, vhost, postgresql.uri(f"{mark}_{{service}}"))
    prepare(settings, "source", "sink")
    declare_topology(settings, [SourceService, SinkService])
    listening = Queue(f"heard-{mark}", wire.events_exchange("source"), routing_key="#", durable=True)
    with Connection(settings.amqp_uri) as connection:
        listening(connection.channel()).declare()
    port = urlsplit(vhost).port or 5672
    with Proxy(postgresql.port) as database_way, Proxy(port) as broker_way:
        environment = {
            **os.environ,
            "TESSERA_DATA_DIR": str(settings.data_dir),
            "TESSERA_AMQP_URI": vhost.replace(f":{port}/", f":{broker_way.port}/"),
            "TESSERA_DATABASE_URI": postgresql.uri(f"{mark}_{{service}}", port=database_way.port),
            "PYTHONPATH": str(ROOT),
        }
        holder = subprocess.Popen([sys.executable, "-W", "ignore", "-c", _HOLDER], env=environment)
        try:
            with opened(settings, "sink") as sink, opened(settings, "source") as source:
                wait_until(lambda: relay_locks(source) == 1, 60)
                with running(settings, SourceService, SinkService):
                    emit(source, *(f"before{n}" for n in range(120)))
                    # In the middle of its batches, whatever it has sent or marked by then.
                    wait_until(lambda: len(words(sink)) > 20, 30)
                    for way in (database_way, broker_way):
                        way.set(Mode.HANG)
                    emit(source, *(f"during{n}" for n in range(60)))
                    wait_until(lambda: len(words(sink)) == 180, TAKEN_OVER_WITHIN)
                    # The network is back: what was under way on that host comes out now, late.
                    for way in (database_way, broker_way):
                        way.set(Mode.PASS)
                    emit(source, *(f"after{n}" for n in range(60)))
                    expected = [f"{when}{n}" for when, many in _SAID for n in range(many)]
                    wait_until(lambda: len(words(sink)) >= len(expected), 30)
                    time.sleep(2)  # for what comes doubled, if it did
                    assert words(sink) == expected
                    assert holder.poll() is None
            heard = _heard(settings.amqp_uri, listening)
            assert sorted(heard) == list(range(1, len(expected) + 1))
            assert [number for number, events in sorted(heard.items()) if len(events) > 1] == []
        finally:
            holder.kill()
            holder.wait(10)
            for service in ("source", "sink"):
                postgresql.drop_database(f"{mark}_{service}")


_SAID = (("before", 120), ("during", 60), ("after", 60))


def _heard(amqp_uri: str, queue: Queue) -> dict[int, set[str]]:
    """Return every sequence that was published, and the events that were published under it."""
    found: dict[int, set[str]] = defaultdict(set)
    with Connection(amqp_uri) as connection:
        bound = queue(connection.channel())
        while (message := bound.get(no_ack=True)) is not None:
            document = json.loads(message.body)
            if document["type"] != "watermark":
                found[document["sequence"]].add(json.dumps(document, sort_keys=True))
        bound.delete()
    return found
