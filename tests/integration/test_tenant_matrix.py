"""The tenant matrix: every route, tried by everybody, with the ids of another company (api.md, rules S8, S18, I14).

What each caller must get is derived from the gateway's rows and the table of powers; `tenancy.cases` says as data which
thing a route names. A route without a case fails here.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from tests.integration.http_client import Answer
from tests.integration.installation import Installation
from tests.integration.tenancy.callers import Caller, make_callers
from tests.integration.tenancy.canaries import Watch
from tests.integration.tenancy.cases import CASES, Case, Of
from tests.integration.tenancy.declared import OF_ROUTE, naming_fields
from tests.integration.tenancy.expected import UNKNOWN, code_of, expect
from tests.integration.tenancy.makers import FRESH, nothing_like
from tests.integration.tenancy.world import World


@pytest.fixture(scope="module")
def world(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The companies of the matrix on one installation."""
    return World.make(installation, tmp_path_factory.mktemp("tenants"))


@pytest.fixture(scope="module")
def watch(world: World) -> Watch:
    """The watch over all answers."""
    return Watch(world.canaries)


@pytest.fixture(scope="module")
def callers(world: World, watch: Watch) -> dict[str, Caller]:
    """Everybody who asks."""
    return make_callers(world, watch)


def test_every_route_has_a_case() -> None:
    covered = {case.route for case in CASES}
    missing = sorted(set(OF_ROUTE) - covered)
    assert not missing, f"Add cases to tests/integration/tenancy/cases.py for: {', '.join(missing)}"
    assert covered <= set(OF_ROUTE), covered - set(OF_ROUTE)


def test_every_field_that_names_a_thing_is_tried_with_one_of_another_company() -> None:
    named: dict[str, set[str]] = {}
    for case in CASES:
        fields = named.setdefault(case.route, set(case.path))
        fields.update(case.row.path_names[:1] if case.thing else ())
        fields.update(name for name, value in {**case.query, **(case.body or {})}.items() if "$" in json.dumps(value))
    missing = {route: sorted(naming_fields(row) - named.get(route, set())) for route, row in OF_ROUTE.items()}
    missing = {route: fields for route, fields in missing.items() if fields}
    assert not missing, f"Name a thing of the owner's in a case of tests/integration/tenancy/cases.py: {missing}"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_everybody_gets_what_the_row_and_the_table_of_powers_say(
    case: Case, world: World, callers: dict[str, Caller]
) -> None:
    wrong, alike = [], {}
    for caller in callers.values():
        expected = expect(case, caller.role)
        made = FRESH[case.fresh](world) if case.fresh and expected.success else {}
        answer = ask(case, caller, world, made)
        check_form(answer)
        if not expected.fits(answer):
            wrong.append(f"{caller.role.name}: {expected}, got {answer.status} {answer.content[:300]!r}")
        elif expected is UNKNOWN:
            unlike = nothing_like(world, case)
            unknown = ask(case, caller, world, unlike)
            if comparable(answer, world.things) != comparable(unknown, unlike):
                wrong.append(f"{caller.role.name}: foreign {answer.content!r}, unknown {unknown.content!r}")
        elif expected.success and case.of is Of.EVERYBODY:
            alike[caller.role.name] = comparable(answer, {})
    if len(set(alike.values())) > 1:
        wrong.append(f"not the same for everybody: {alike}")
    assert not wrong, "\n".join(["", *wrong])


def ask(case: Case, caller: Caller, world: World, instead: Mapping[str, str]) -> Answer:
    """Send the request of a case, with some things replaced."""
    row = case.row

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

    first = dict.fromkeys(row.path_names[:1], f"${case.thing}")
    values = fill({**first, **case.path})
    return caller.send(
        row.method,
        re.sub(r"\{(\w+)\}", lambda match: str(values[match[1]]), row.path),
        query=fill(case.query),
        json=fill(case.body) if case.body is not None else None,
        text=fill(case.text) if case.text is not None else None,
        media_type=row.takes,
    )


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
