"""No message can end a service: each bad one lies in the dead letters with its reason (rules R11, R12)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from services.chassis.bus import identity, wire
from services.chassis.bus.rpc import ServiceClient, standalone
from services.chassis.context import Call
from services.chassis.service.topology import declare_topology
from services.chassis.tests.messaging_world import (
    SinkService,
    SourceService,
    make_settings,
    opened,
    prepare,
    running,
    words,
)
from tests.rig import wait_until

GOOD: dict[str, Any] = {
    "reply_to": "somebody",
    "correlation_id": "c",
    "content_type": "application/json",
    "body": b'{"args": [], "kwargs": {"word": "x"}}',
    "headers": {},
}
DEEP = b'{"args": [], "kwargs": ' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}"
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("no reply address", {"reply_to": None}, "no reply_to"),
    ("no correlation id", {"correlation_id": None}, "no correlation_id"),
    ("broken JSON", {"body": b'{"args": '}, "not JSON"),
    ("not UTF-8", {"body": b'{"args": [], "kwargs": {"a": "\xff\xfe"}}'}, "not JSON"),
    ("a list", {"body": b"[1, 2]"}, "not a JSON object"),
    ("no kwargs", {"body": b"{}"}, "without args and kwargs"),
    ("args of a wrong type", {"body": b'{"args": 3, "kwargs": {}}'}, "without args and kwargs"),
    ("pickle", {"content_type": "application/x-python-serialize", "body": b"cos\nsystem\n"}, "content type"),
    ("yaml", {"content_type": "application/x-yaml"}, "content type"),
    ("too deep", {"body": DEEP}, "deeper than 32"),
    ("much too deep", {"body": b"[" * 100_000}, "deeper than 32"),
    ("too large", {"body": b'{"args": [], "kwargs": {"a": "' + b"x" * wire.MAX_BYTES + b'"}}'}, "at most"),
    ("call stack no list", {"headers": {"nameko.call_id_stack": "x"}}, "call_id_stack"),
    ("token no text", {"headers": {"nameko.token": 5}}, "token"),
    ("deadline no number", {"headers": {"nameko.deadline": "soon"}}, "deadline"),
    ("hops no number", {"headers": {"nameko.hops": "many"}}, "hops"),
]
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "01a20bc6-8384-76c7-a6e1-a9d2667a72a6",
    "source": "source",
    "type": "word_said",
    "time": "2026-11-24T04:00:00Z",
    "sequence": 1,
    "data": {"word": "forged"},
}
BAD_EVENTS: list[tuple[str, dict[str, Any], str]] = [
    ("of another source", {"source": "sink"}, "not an event of this source"),
    ("without a sequence", {"sequence": None}, "without a sequence"),
    ("sequence a flag", {"sequence": True}, "without a sequence"),
    ("sequence 0", {"sequence": 0}, "cannot have the sequence 0"),
    ("sequence below 0", {"sequence": -3}, "cannot have the sequence -3"),
    ("without data", {"data": None}, "not an event document"),
    ("data a list", {"data": [1]}, "not an event document"),
    ("time no time", {"time": "soon"}, "not an event document"),
    ("time without a zone", {"time": "2026-11-24T04:00:00"}, "time without a zone"),
    ("id too long", {"id": "x" * 37}, "id too long"),
]


@pytest.fixture
def source(vhost: str, tmp_path: Path) -> Iterator[ServiceClient]:
    settings = make_settings(tmp_path, vhost)
    prepare(settings, "source")
    declare_topology(settings, [SourceService])
    with running(settings, SourceService), standalone(vhost) as to:
        yield to("source")


def send(vhost: str, changes: dict[str, Any]) -> None:
    message = {**GOOD, **changes}
    body = message.pop("body")
    with Connection(vhost) as connection:
        channel = connection.channel()
        properties = {name: message[name] for name in ("reply_to", "correlation_id") if message[name] is not None}
        prepared = channel.prepare_message(
            body, content_type=message["content_type"], headers=message["headers"], properties=properties
        )
        channel.basic_publish(prepared, exchange="nameko-rpc", routing_key="source.say")


def dead_letter(vhost: str) -> Any:
    with Connection(vhost) as connection:
        channel = connection.channel()
        message = channel.basic_get(wire.DEAD_QUEUE, no_ack=True)
        return None if message is None else channel.message_to_python(message)


def first_dead_letter(vhost: str) -> Any:
    letters: list[Any] = []

    def arrived() -> bool:
        letter = dead_letter(vhost)
        if letter is not None:
            letters.append(letter)
        return bool(letters)

    wait_until(arrived, 5)
    return letters[0]


@pytest.mark.parametrize(("changes", "reason"), [(c, r) for _, c, r in BAD], ids=[name for name, _, _ in BAD])
def test_a_bad_message_goes_to_the_dead_letters_and_its_neighbors_are_served(
    vhost: str, source: ServiceClient, changes: dict[str, Any], reason: str
) -> None:
    send(vhost, changes)
    letter = first_dead_letter(vhost)
    assert reason in letter.headers["tessera.reason"]
    assert letter.headers["tessera.routing_key"] == "source.say"
    assert source.say(Call(deadline=time.time() + 5), word="fine") == {"said": "fine"}
    assert dead_letter(vhost) is None


@pytest.mark.parametrize(("changes", "reason"), [(c, r) for _, c, r in BAD_EVENTS], ids=[n for n, _, _ in BAD_EVENTS])
def test_a_bad_event_goes_to_the_dead_letters_and_its_neighbors_are_applied(
    vhost: str, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    settings = make_settings(tmp_path, vhost)
    prepare(settings, "source", "sink")
    declare_topology(settings, [SourceService, SinkService])
    with running(settings, SourceService, SinkService), standalone(vhost) as to, opened(settings, "sink") as database:
        document = {name: value for name, value in {**EVENT, **changes}.items() if value is not None}
        with Connection(vhost) as connection:
            channel = connection.channel()
            message = channel.prepare_message(wire.encode(document), content_type=wire.JSON)
            channel.basic_publish(message, exchange="source.events", routing_key="word_said")
        letter = first_dead_letter(vhost)
        assert reason in letter.headers["tessera.reason"]
        to("source").say(Call(deadline=time.time() + 5), word="fine")
        wait_until(lambda: words(database) == ["fine"], 5)


def test_a_request_that_waited_past_its_deadline_is_not_executed(vhost: str, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, vhost)
    prepare(settings, "source")
    declare_topology(settings, [SourceService])
    late = {"nameko.deadline": f"{time.time() - 1:.3f}"}
    send(vhost, {"headers": late, "correlation_id": "late"})
    identity.use(settings, ["sink"])
    with running(settings, SourceService), standalone(vhost, "sink") as to:
        # The queue is served in order: once this one is answered, the late one has had its turn.
        assert to("source").say(Call(deadline=time.time() + 5), word="in time") == {"said": "in time"}
        events = to("source").read_events(Call(deadline=time.time() + 5), after=0, limit=10)
        wait_until(lambda: to("source").read_events(Call(), after=0, limit=10)["last_sequence"] >= 1, 5)
        events = to("source").read_events(Call(deadline=time.time() + 5), after=0, limit=10)
    assert [event["data"]["word"] for event in events["items"]] == ["in time"]


def test_an_expired_request_is_kept_apart_from_the_dead_letters(vhost: str, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, vhost)
    declare_topology(settings, [SourceService])
    with Connection(vhost) as connection:
        channel = connection.channel()
        message = channel.prepare_message(b"{}", content_type=wire.JSON, properties={"expiration": "50"})
        channel.basic_publish(message, exchange="nameko-rpc", routing_key="source.say")

        def expired() -> int:
            return int(channel.queue_declare(wire.EXPIRED_QUEUE, passive=True).message_count)

        wait_until(lambda: expired() == 1, 10)
    assert dead_letter(vhost) is None
