"""Calls and events between services, on the in-process broker and on RabbitMQ alike."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.chassis.bus import wire
from services.chassis.bus.rpc import ServiceClient, standalone
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.errors import ServiceError
from services.chassis.service.topology import declare_topology
from services.chassis.settings import Settings
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


@dataclass
class World:
    """Both services running, and clients of them."""

    settings: Settings
    source: ServiceClient
    sink: ServiceClient
    sink_database: Database


@pytest.fixture(params=["embedded", "rabbitmq"])
def amqp_uri(request: pytest.FixtureRequest) -> str:
    return "embedded://" if request.param == "embedded" else str(request.getfixturevalue("vhost"))


@pytest.fixture
def world(amqp_uri: str, tmp_path: Path) -> Iterator[World]:
    settings = make_settings(tmp_path, amqp_uri)
    prepare(settings, "source", "sink")
    declare_topology(settings, [SourceService, SinkService])
    with (
        running(settings, SourceService, SinkService),
        standalone(amqp_uri, "sink") as to,
        opened(settings, "sink") as database,
    ):
        yield World(settings, to("source"), to("sink"), database)


def soon(seconds: float = 5.0) -> Call:
    return Call(deadline=time.time() + seconds)


@pytest.mark.parametrize("through", ["source", "sink"])
def test_a_repeated_refusal_is_marked_as_one(world: World, through: str) -> None:
    """Also where the room of a later step had stored it."""
    ask = {"source": world.source.refuse_once, "sink": world.sink.ask_for_refusal}[through]

    def refused(command_id: str) -> bool:
        with pytest.raises(ServiceError) as refusal:
            ask(Call(deadline=time.time() + 5, command_id=command_id))
        assert refusal.value.code == "source.refused"
        return refusal.value.replayed

    assert [refused("a"), refused("a"), refused("b")] == [False, True, False]


def test_what_is_never_stored_is_no_replay(world: World) -> None:
    """Found by killing orders: the first step was a repetition, and its 503 was told as one."""
    for _ in range(2):
        with pytest.raises(ServiceError) as failure:
            world.source.begin_and_wait(Call(deadline=time.time() + 5, command_id="a"))
        assert (failure.value.kind, failure.value.replayed) == ("unavailable", False)


def test_the_fifth_hop_is_refused_but_a_leaf_may_be_asked_from_anywhere(world: World) -> None:
    token = wire.hops.set(wire.MAX_HOPS)
    try:
        with pytest.raises(RuntimeError, match="hop 5"):
            world.source.say(soon(), word="too far")
        assert world.source.read_events(soon(), after=0, limit=1)["items"] == []
    finally:
        wire.hops.reset(token)


def test_a_call_through_two_services_answers_and_its_events_arrive_in_order(world: World) -> None:
    answer = world.sink.say_twice(soon(), word="hello")
    assert answer["said"] == ["hello", "hello"]
    assert 0 < answer["left"] < 5
    for number in range(30):
        world.source.say(soon(), word=f"w{number}")
    wait_until(lambda: len(words(world.sink_database)) == 32, 10)
    assert words(world.sink_database) == ["hello", "hello", *(f"w{number}" for number in range(30))]


def test_the_same_command_id_gets_the_same_answer_marked_as_a_replay(world: World) -> None:
    call = soon()
    first = world.source.call_with_meta(call, "say", word="once")
    second = world.source.call_with_meta(call, "say", word="once")
    assert (first.result, first.replayed) == ({"said": "once"}, False)
    assert (second.result, second.replayed) == ({"said": "once"}, True)
    wait_until(lambda: words(world.sink_database) == ["once"], 5)


@pytest.mark.parametrize(
    ("method", "request_body", "kind", "code"),
    [
        ("refuse", {}, "conflict", "source.refused"),
        ("break_down", {}, "internal", "service.internal"),
        ("answer_badly", {}, "internal", "service.internal"),
        ("say", {"word": 3, "more": 1}, "invalid", "request.invalid"),
        ("whoami", {}, "unauthenticated", "token.missing"),
        ("unknown_method", {}, "invalid", "request.not_found"),
    ],
)
def test_errors_arrive_with_their_kind_and_code_and_tell_no_more(
    world: World, method: str, request_body: dict[str, object], kind: str, code: str
) -> None:
    with pytest.raises(ServiceError) as caught:
        getattr(world.source, method)(soon(), **request_body)
    assert (caught.value.kind, caught.value.code) == (kind, code)
    assert "secret" not in json.dumps(caught.value.args)
    if method == "refuse":
        assert caught.value.extra == {"why": "because", "amount": 3}
    if method == "say":
        pointers = {error["pointer"] for error in caught.value.extra["errors"]}
        assert pointers == {"/word", "/more"}


def test_a_call_to_nobody_ends_at_its_deadline_with_an_unknown_outcome(amqp_uri: str) -> None:
    with standalone(amqp_uri) as to:
        begun = time.monotonic()
        with pytest.raises(ServiceError) as caught:
            to("nobody").do_it(soon(1.0))
    assert caught.value.code == "service.unavailable"
    assert time.monotonic() - begun < 1.5


def test_a_call_inside_a_transaction_is_refused(world: World) -> None:
    with pytest.raises(ServiceError) as caught:
        world.sink.call_in_transaction(soon())
    assert caught.value.code == "service.internal"
    assert words(world.sink_database) == []


def test_a_call_whose_deadline_has_passed_is_not_sent(world: World) -> None:
    with pytest.raises(ServiceError) as caught:
        world.source.say(Call(deadline=time.time() - 1), word="late")
    assert caught.value.code == "service.deadline_passed"


def test_ping_tells_that_the_database_answers(world: World) -> None:
    answer = world.source.ping(soon())
    assert (answer["service"], answer["ready"]) == ("source", True)
