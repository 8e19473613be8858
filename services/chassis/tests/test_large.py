"""What is too large for a message is paged or refused by a code, and nobody waits for it in vain (rule R27)."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from services.chassis.bus import identity, wire
from services.chassis.bus.rpc import standalone
from services.chassis.context import Call
from services.chassis.data.outbox import PAGE_BYTES
from services.chassis.data.unit import Unit
from services.chassis.errors import ServiceError
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


@pytest.fixture(params=["amqp", "embedded"])
def address(request: pytest.FixtureRequest, vhost: str) -> str:
    return vhost if request.param == "amqp" else "embedded://"


def test_large_answers_and_requests_are_refused_at_once(address: str, tmp_path: Path) -> None:
    """Issue 6.4: an answer above the limit of a message was dropped, and its caller waited until its deadline."""
    settings = make_settings(tmp_path, address)
    prepare(settings, "source")
    if not settings.is_embedded:
        declare_topology(settings, [SourceService])
    with running(settings, SourceService), standalone(settings.amqp_uri) as to:
        begun = time.monotonic()
        for method, arguments, code in (
            ("answer_at_length", {"bytes": wire.MAX_BYTES}, "request.answer_too_large"),
            ("say", {"word": "x" * wire.MAX_BYTES}, "request.too_much_at_once"),
            ("say", {"word": "x" * (PAGE_BYTES + 1)}, "request.too_much_at_once"),
        ):
            with pytest.raises(ServiceError) as refusal:
                getattr(to("source"), method)(Call(deadline=time.time() + 20), **arguments)
            assert (refusal.value.code, refusal.value.status) == (code, 413)
        assert time.monotonic() - begun < 10
        kept = to("source").answer_at_length(Call(), bytes=wire.MAX_BYTES - 200)
        assert len(kept["text"]) == wire.MAX_BYTES - 200


def test_a_log_of_large_events_is_read_in_pages(vhost: str, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, vhost)
    prepare(settings, "source", "sink")
    declare_topology(settings, [SourceService, SinkService])
    said = [f"{number}" + "ü" * 180_000 for number in range(9)]
    with opened(settings, "source") as source, running(settings, SourceService):
        for word in said:

            def work(unit: Unit, word: str = word) -> None:
                unit.emit("word_said", subject="word", data={"word": word})

            source.write(work)
        identity.use(settings, ["sink"])
        with standalone(settings.amqp_uri, "sink") as to:

            def read(after: int) -> list[dict[str, object]]:
                return list(to("source").read_events(Call(), after=after, limit=500)["items"])

            wait_until(lambda: to("source").read_events(Call(), after=0, limit=0)["last_sequence"] == 9, 20)
            pages, after = [], 0
            while page := read(after):
                pages.append(page)
                after = page[-1]["sequence"]  # type: ignore[assignment]
    assert len(pages) > 2
    assert all(len(json.dumps(page, ensure_ascii=False).encode()) < wire.MAX_BYTES for page in pages)
    with opened(settings, "sink") as sink, running(settings, SourceService, SinkService):
        wait_until(lambda: len(words(sink)) == 9, 30)
        assert words(sink) == said
