"""What is counted, what is read from the database, and who may ask for it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import eventlet
import pytest
import sqlalchemy as sa
from eventlet.event import Event
from eventlet.green import socket

from services.chassis import metrics
from services.chassis.bus.rpc import standalone
from services.chassis.context import Call
from services.chassis.data import figures as data_figures
from services.chassis.data.db import Database
from services.chassis.data.figures import MOST, Waiting
from services.chassis.data.tables import outbox, positions, retry_events
from services.chassis.errors import ServiceError, conflict
from services.chassis.keys.keystore import KeyStore
from services.chassis.listening import listener
from services.chassis.service import figures
from services.chassis.service.admin import AdminListener
from services.chassis.settings import Settings, SettingsError
from services.chassis.tests.messaging_world import SinkService, SourceService, make_settings, prepare, running
from tests.rig import wait_until


def made(folder: Path) -> Settings:
    """Return settings of a world with its tables."""
    settings = make_settings(folder, "embedded://")
    prepare(settings, "source", "sink")
    return settings


def value(name: str, **labels: str) -> float | None:
    """Return a sample of this process."""
    found = metrics.REGISTRY.get_sample_value(name, labels)
    return None if found is None else float(found)


def known(database: Database, waiting: tuple[Waiting, ...] = ()) -> dict[tuple[str, ...], float]:
    """Return what a database says, by figure and labels."""
    return {(figure.name, *labels): number for figure, labels, number in data_figures.read(database, waiting)}


@contextmanager
def asked(tmp_path: Path, **given: str) -> Iterator[AdminListener]:
    admin = AdminListener(make_settings(tmp_path, "embedded://", TESSERA_ADMIN_HTTP="127.0.0.1:0", **given), "source")
    admin.start()
    try:
        yield admin
    finally:
        admin.stop()


def send(port: int, request: bytes, seconds: float = 10.0) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as sock:
        sock.sendall(request)
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    return answer


def test_procedures_calls_and_their_errors_are_counted(tmp_path: Path) -> None:
    settings = made(tmp_path)
    with running(settings, SourceService, SinkService), standalone(settings.amqp_uri) as to:
        before = value("tessera_rpc_seconds_count", room="source", procedure="say") or 0
        called = value("tessera_calls_seconds_count", room="sink", target="source", procedure="say") or 0
        to("sink").say_twice(Call(), word="a")
        assert value("tessera_rpc_seconds_count", room="source", procedure="say") == before + 2
        assert value("tessera_calls_seconds_count", room="sink", target="source", procedure="say") == called + 2
        with pytest.raises(ServiceError):
            to("source").say(Call())
        told = {"room": "source", "procedure": "say", "kind": "invalid", "code": "request.invalid"}
        assert value("tessera_rpc_errors_total", **told)
        assert value("tessera_call_errors_total", target="source", **{**told, "room": "other"})
        with pytest.raises(ServiceError):
            to("sink").call_in_transaction(Call())
        broken = {"room": "sink", "procedure": "call_in_transaction", "kind": "internal", "code": "service.internal"}
        assert value("tessera_rpc_errors_total", **broken)


def test_a_label_takes_no_text_of_others_and_does_not_grow_without_end() -> None:
    names = metrics.Names(2)
    assert [names(text) for text in ("say", "a@example.com", "x.y", "third", "say", "/etc/passwd", "0193-af")] == [
        "say", "other", "x.y", "other", "say", "other", "other",
    ]  # fmt: skip
    for number in range(2000):
        metrics.note_served("source", f"p{number}", 0.0, conflict(f"flood.c{number}", ""))
    page = metrics.render(lambda: None).decode()
    assert page.count('tessera_rpc_seconds_count{procedure="p') <= 600
    assert page.count('code="flood.') <= 600


def test_the_database_tells_what_waits_and_what_was_given_up(tmp_path: Path) -> None:
    settings = made(tmp_path)
    database = Database.from_settings(settings, "sink")
    long_ago = datetime.now(UTC) - timedelta(seconds=100)
    retried = {"source": "source", "event": "{}", "attempts": 1, "reason": ""}

    def write(unit: Any) -> None:
        row = {"type": "x", "event": "{}", "created_at": long_ago, "sent_at": None}
        unit.execute(sa.insert(outbox), [{"id": "a", **row}])
        unit.execute(sa.insert(outbox), [{"id": "b", **row, "sent_at": long_ago}])
        stopped = {"stopped_at": long_ago, "stopped_because": "restored", "updated_at": long_ago}
        unit.execute(sa.insert(positions).values(source="source", sequence=7, **stopped))
        parked = {"parked_at": long_ago, "next_at": None}
        unit.execute(sa.insert(retry_events), [{"event_id": "1", **retried, **parked}])
        unit.execute(sa.insert(retry_events), [{"event_id": "2", **retried, "parked_at": None, "next_at": long_ago}])

    database.write(write)
    data_figures.heard("sink", "source", 10)
    every = Waiting("all", sa.select(outbox.c.created_at))
    none = Waiting("none", sa.select(outbox.c.created_at).where(sa.false()))
    told = known(database, (every, none))
    database.close()
    assert told["tessera_outbox_events", "sink"] == 1
    assert 100 <= told["tessera_outbox_lag_seconds", "sink"] < 130
    assert told["tessera_events_position", "sink", "source"] == 7
    assert told["tessera_events_behind", "sink", "source"] == 3
    assert told["tessera_events_stopped", "sink", "source"] == 1
    assert told["tessera_events_parked", "sink", "source"] == told["tessera_events_retried", "sink", "source"] == 1
    assert told["tessera_sagas_open", "sink", "all"] == 2
    assert 100 <= told["tessera_saga_oldest_seconds", "sink", "all"] < 130
    assert told["tessera_sagas_open", "sink", "none"] == told["tessera_saga_oldest_seconds", "sink", "none"] == 0


def test_nothing_is_counted_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_figures, "MOST", 3)
    database = Database.from_settings(made(tmp_path), "source")
    row = {"type": "x", "event": "{}", "created_at": datetime.now(UTC), "sent_at": None}
    database.write(lambda unit: [unit.execute(sa.insert(outbox), [{"id": str(n), **row}]) for n in range(5)])
    assert known(database)["tessera_outbox_events", "source"] == 3 < MOST
    database.close()


def test_many_scrapes_ask_the_database_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for: list[str] = []
    sa.event.listen(sa.Engine, "before_cursor_execute", note := lambda *given: asked_for.append(given[2]))
    database = Database.from_settings(made(tmp_path), "source")
    figures.watch("source", figures.RoomFigures("source", lambda: database, (), lambda: ()))
    monkeypatch.setattr(figures, "PAGE_SECONDS", 0.0)
    try:
        asked_for.clear()
        assert [b'tessera_outbox_events{room="source"} 0.0' in figures.page() for _ in range(5)] == [True] * 5
        assert len([statement for statement in asked_for if statement.startswith("SELECT")]) == 1
    finally:
        figures.forget("source")
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
        database.close()


def test_a_database_that_hangs_holds_up_a_scrape_for_a_second_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = Event()

    def hang(*_: Any) -> Any:
        ends.wait()
        raise ServiceError("unavailable", "service.unavailable")

    monkeypatch.setattr(data_figures, "read", hang)
    monkeypatch.setattr(figures, "PAGE_SECONDS", 0.0)
    database = Database.from_settings(made(tmp_path), "source")
    figures.watch("source", figures.RoomFigures("source", lambda: database, (), lambda: ()))
    failed = value("tessera_figures_failed_total", room="source") or 0
    beats: list[float] = []

    def beat() -> None:
        while True:
            beats.append(time.monotonic())
            eventlet.sleep(0.02)

    beating = eventlet.spawn(beat)
    try:
        started = time.monotonic()
        page = figures.page()  # comes back while the database still hangs
        assert time.monotonic() - started > 0.9
        assert b'tessera_outbox_events{room="source"}' not in page
        assert len(beats) > 10
        assert figures.unready() == ["source"]
        assert value("tessera_figures_failed_total", room="source") in (None, failed)
        ends.send()
        wait_until(lambda: value("tessera_figures_failed_total", room="source") == failed + 1, 10)
    finally:
        if not ends.ready():
            ends.send()
        beating.kill()
        figures.forget("source")
        database.close()


def test_who_waits_for_a_connection_is_counted(tmp_path: Path) -> None:
    settings = made(tmp_path)
    database = Database("source", settings.service_database_uri("source"), pool_size=1)
    pool: Any = database.engine.pool
    held = [database.engine.connect() for _ in range(pool.most)]
    waiting = eventlet.spawn(lambda: database.engine.connect().close())
    eventlet.sleep(0.2)
    for connection in held:
        connection.close()
    waiting.wait()
    told = {(figure.name, *labels): number for figure, labels, number in data_figures.read_pools(database)}
    database.close()
    assert told["tessera_pool_size", "source", "write"] == len(held)
    assert told["tessera_pool_waits_total", "source", "write"] == 1
    assert told["tessera_pool_wait_seconds_total", "source", "write"] >= 0.15


def test_each_use_of_a_key_is_counted_by_its_purpose(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path / "source", b"secret")
    before = value("tessera_key_uses_total", room="source", purpose="trying") or 0
    keys.sign("trying", "Ed25519", b"x")
    keys.private_key("trying", "Ed25519")
    assert value("tessera_key_uses_total", room="source", purpose="trying") == before + 2
    keys.unseal(keys.seal(b"x", "row:1"), "row:1")
    assert value("tessera_key_uses_total", room="source", purpose="sealing") == 2


def test_the_listener_tells_its_port_and_answers_three_addresses(tmp_path: Path) -> None:
    with asked(tmp_path) as admin:
        (file,) = (tmp_path / "admin").iterdir()
        (told,) = json.loads(file.read_text())
        assert told["targets"] == [f"127.0.0.1:{admin.port}"]
        assert told["labels"]["role"] == "source"
        assert file.stat().st_mode & 0o777 == 0o600

        def get(path: str, host: str = "127.0.0.1", method: str = "GET") -> bytes:
            return send(admin.port, f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())

        assert get("/healthz").startswith(b"HTTP/1.1 200 ")
        assert get("/readyz").startswith(b"HTTP/1.1 503 ")
        admin.is_up = True
        assert get("/readyz").startswith(b"HTTP/1.1 200 ")
        assert b"# TYPE tessera_rpc_seconds histogram" in get("/metrics", f"localhost:{admin.port}")
        assert get("/metrics", "[::1]", "HEAD").endswith(b"\r\n\r\n")
        assert get("/keys").startswith(b"HTTP/1.1 404 ")
        for refused in (get("/metrics", "evil.example"), get("/metrics", method="POST"), get("/../etc")):
            assert refused.startswith(b"HTTP/1.1 400 ")
        assert send(admin.port, b"GET /metrics HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert not file.exists()


def test_who_sends_slowly_or_without_end_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.chassis.service.admin._SECONDS", 0.5)
    with asked(tmp_path) as admin:
        slow = [socket.create_connection(("127.0.0.1", admin.port), timeout=5) for _ in range(20)]
        started = time.monotonic()
        answer = send(admin.port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert time.monotonic() - started < 4
        for sock in slow:
            sock.close()
        assert send(admin.port, b"GET /" + b"a" * 9000).startswith(b"HTTP/1.1 400 ")


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    taken = listener(("127.0.0.1", 0), "TESSERA_HTTP")
    address = f"127.0.0.1:{taken.getsockname()[1]}"
    admin = AdminListener(make_settings(tmp_path, "embedded://", TESSERA_ADMIN_HTTP=address), "source")
    with pytest.raises(SettingsError, match="set TESSERA_ADMIN_HTTP"):
        admin.start()
    admin.stop()
    taken.close()
