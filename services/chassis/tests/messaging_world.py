"""Two small services that exercise the messaging half of the chassis: one emits, the other listens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from marshmallow import Schema, fields

from services.chassis.bus.rpc import Client
from services.chassis.context import Call
from services.chassis.data import tables
from services.chassis.data.db import Database, Unit
from services.chassis.data.engine import make_engine
from services.chassis.data.migrations import start_log
from services.chassis.data.outbox import Event
from services.chassis.errors import conflict, unavailable
from services.chassis.service.entrypoints import rpc
from services.chassis.service.health import Health
from services.chassis.service.inbox import subscribe
from services.chassis.service.providers import DatabaseProvider, EventsLeaf
from services.chassis.service.relay import Relay
from services.chassis.service.runner import Runner
from services.chassis.settings import Settings

metadata = sa.MetaData()
seen = sa.Table(
    "seen",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("event_id", sa.String(36), nullable=False),
    sa.Column("word", sa.String(200)),
)


class SayRequest(Schema):
    """Request of `say`."""

    word = fields.String(required=True)


class SourceService:
    """Emits an event for each word that it is told."""

    name = "source"
    database = DatabaseProvider()
    relay = Relay()
    events = EventsLeaf("sink")
    health = Health()

    @rpc(SayRequest, public=True)
    def say(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Emit one event."""

        def work(unit: Unit) -> dict[str, Any]:
            unit.emit("word_said", subject="word", data={"word": request["word"]})
            return {"said": request["word"]}

        answer: dict[str, Any] | None = self.database.command(call, "say", request, work)
        assert answer is not None
        return answer

    @rpc(vouched_by=("sink",))
    def confirm(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Believe what the sink has checked for a user."""
        return {"sub": call.claims["sub"]}

    @rpc(public=True)
    def say_slowly(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Wait, then emit one event."""
        time.sleep(request["seconds"])
        answer: dict[str, Any] = self.say(call, {"word": request["word"]})
        return answer

    @rpc(public=True)
    def refuse(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Refuse."""
        raise conflict("source.refused", "No.", why="because", amount=3)

    @rpc(public=True)
    def refuse_once(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Refuse, once per command id."""

        def work(unit: Unit) -> dict[str, Any]:
            raise conflict("source.refused", "No.")

        return self.database.command(call, "refuse_once", request, work) or {}

    @rpc(public=True)
    def begin_and_wait(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Do the first step once per command id, and never reach the second."""
        self.database.command(call, "begin_and_wait", request, lambda unit: {})
        raise unavailable("service.unavailable", "The next step is not to be reached.")

    @rpc(public=True)
    def break_down(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Fail in an unexpected way."""
        raise KeyError("secret detail")

    @rpc(public=True)
    def answer_badly(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Answer with something that is not JSON."""
        return {"value": object()}

    @rpc(public=True)
    def answer_at_length(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Answer with as many bytes as asked for."""
        return {"text": "x" * request["bytes"]}

    @rpc()
    def whoami(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Return the caller's claims."""
        return dict(call.claims)


class SinkService:
    """Writes down the words of the source."""

    name = "sink"
    database = DatabaseProvider()
    source = Client("source")
    health = Health()

    @subscribe("source")
    def on_source_events(self, unit: Unit, events: list[Event]) -> None:
        """Write down."""
        for event in events:
            if event.data["word"].startswith("poison"):
                raise ValueError(f"cannot handle {event.data['word']}")
            row = {"sequence": event.sequence, "event_id": event.id, "word": event.data["word"]}
            unit.execute(sa.insert(seen).values(**row))

    @rpc(public=True)
    def say_twice(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Say two words through the source."""
        first = self.source.say(call.derive("first"), word=request["word"])
        second = self.source.say(call.derive("second"), word=request["word"])
        return {"said": [first["said"], second["said"]], "left": call.remaining()}

    @rpc(public=True)
    def ask_for_refusal(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Pass on what the source refuses once."""
        return dict(self.source.refuse_once(call.derive("step")))

    @rpc(public=True)
    def call_in_transaction(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Break rule D3."""
        self.database.write(lambda unit: self.source.say(call, word="never"))
        return {}


def make_settings(folder: Path, amqp_uri: str, database_uri: str | None = None, **more: str) -> Settings:
    """Return settings for a world in a folder."""
    environment = {"TESSERA_DATA_DIR": str(folder), "TESSERA_AMQP_URI": amqp_uri, **more}
    if database_uri is not None:
        environment["TESSERA_DATABASE_URI"] = database_uri
    folder.mkdir(parents=True, exist_ok=True)
    return Settings.from_environment(environment)


def prepare(settings: Settings, *services: str) -> None:
    """Create the tables of services, as their migrations would."""
    for service in services:
        engine = make_engine(settings.service_database_uri(service), pool_size=1)
        with engine.begin() as connection:
            tables.metadata.create_all(connection)
            metadata.create_all(connection)
            start_log(connection)
        engine.dispose()


@contextmanager
def running(settings: Settings, *services: type) -> Iterator[Runner]:
    """Run services in this process for a block."""
    runner = Runner(settings, services)
    runner.start()
    try:
        yield runner
    finally:
        runner.stop()


@contextmanager
def opened(settings: Settings, service: str) -> Iterator[Database]:
    """Open a service's database beside the service."""
    database = Database.from_settings(settings, service, pool_size=3)
    try:
        yield database
    finally:
        database.close()


def words(database: Database) -> list[str]:
    """Return the words the sink has written down, in the order of writing."""
    statement = sa.select(seen.c.word).order_by(seen.c.id)
    return list(database.read(lambda connection: connection.execute(statement).scalars().all()))


_HELD: Final = sa.text(
    "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database"
    " WHERE locktype = 'advisory' AND granted AND datname = current_database()"
)


def relay_locks(database: Database) -> int:
    """Return how many relays hold this database's lock; pg_locks tells of the other databases of a cluster too."""
    return int(database.read(lambda connection: connection.execute(_HELD).scalar_one()))
