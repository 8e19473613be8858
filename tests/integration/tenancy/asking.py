"""Sends the request of a case, and looks at the form of its answer."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

from tests.integration.http_client import Answer
from tests.integration.tenancy.callers import Caller
from tests.integration.tenancy.cases import Case
from tests.integration.tenancy.expected import code_of
from tests.integration.tenancy.world import World


def ask(case: Case, caller: Caller, world: World, instead: Mapping[str, str]) -> Answer:
    """Send the request of a case, with some things replaced."""
    path, query, body, text = filled(case, world, instead)
    return caller.send(case.row.method, path, query=query, json=body, text=text, media_type=case.row.takes)


def filled(case: Case, world: World, instead: Mapping[str, str]) -> tuple[str, Any, Any, str | None]:
    """Return path, query, JSON body and text of a case, with the things in it.

    Args:
        case: what is tried.
        world: its things.
        instead: things that take the place of the world's.
    """

    def value(name: str) -> str:
        if name == "unknown address":
            return f"{uuid.uuid4()}@tenants.example"
        if name == "unknown name":
            return f"new {uuid.uuid4()}"
        return instead.get(name) or world.things[name]

    def fill(template: Any) -> Any:
        if isinstance(template, str):
            return value(template[1:]) if template.startswith("$") else template
        if isinstance(template, Mapping):
            return {name: fill(inner) for name, inner in template.items()}
        return [fill(inner) for inner in template] if isinstance(template, list) else template

    first = dict.fromkeys(case.row.path_names[:1], f"${case.thing}")
    values = fill({**first, **case.path})
    path = re.sub(r"\{(\w+)\}", lambda match: str(values[match[1]]), case.row.path)
    return path, fill(case.query), fill(case.body), fill(case.text)


def check_form(answer: Answer) -> None:
    """Assert that a refusal is a problem document, or its short form at the device door, and nothing is a 5xx."""
    assert answer.status < 500, answer.content
    if answer.status < 400:
        return
    assert re.fullmatch(r"[a-z_]+\.[a-z_]+", code_of(answer)), answer.content
    if "X-Error-Code" not in answer.headers:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.body["instance"] == answer.headers["X-Request-Id"]
        assert answer.body["status"] == answer.status


def comparable(answer: Answer, named: Mapping[str, str]) -> tuple[Any, ...]:
    """Return an answer without what differs from request to request, and without the thing that was named."""
    headers = sorted(
        (name, value)
        for name, value in answer.headers.items()
        if name not in ("Date", "X-Request-Id", "Content-Length")
    )
    body = answer.content.decode("utf-8", "replace")
    if answer.is_json and isinstance(answer.body, dict):
        body = json.dumps({**answer.body, "instance": ""}, sort_keys=False)
    for text in named.values():
        body = body.replace(text, "…")
    return answer.status, tuple(headers), body
