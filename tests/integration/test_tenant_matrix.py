"""The tenant matrix: every route, tried by everybody, with the ids of another company (api.md, rules S8, S18, I14).

What each caller must get is derived from the gateway's rows and the table of powers; `tenancy.cases` says as data which
thing a route names. A route without a case fails here.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest
import requests

from tests.integration.http_client import Answer
from tests.integration.tenancy.asking import ask, check_form, comparable
from tests.integration.tenancy.callers import ROLES, Caller
from tests.integration.tenancy.canaries import UNSEEN, Watch, ids_in
from tests.integration.tenancy.cases import CASES, Case, Of
from tests.integration.tenancy.declared import OF_ROUTE, naming_fields
from tests.integration.tenancy.expected import UNKNOWN, expect
from tests.integration.tenancy.makers import FRESH, nothing_like
from tests.integration.tenancy.world import World


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


def test_what_two_companies_hold_together_shows_neither_the_other(world: World, callers: dict[str, Caller]) -> None:
    """The licenses are the device's, whoever pays them (DEV-5); all else about it is each company's own (I14)."""
    stranger, own = callers["stranger"], world.own["stranger"]
    line = world.fresh_line("shared")
    path = f"/v1/devices/{own['shared']}"
    record = stranger.send("GET", path).expect(200)
    assert (record["company_id"], record["comment"]) == (world.stranger.tokens["company"]["id"], "")
    listed = stranger.send("GET", f"{path}/licenses").expect(200)
    assert line in {item["id"] for item in listed["items"]}
    assert listed["file"]["serial"] is None
    (certificate,) = stranger.send("GET", f"{path}/certificates").expect(200)["items"]
    assert certificate["device_id"] == own["shared"]
    stranger.send("DELETE", f"{path}/licenses/{line}").refused(409, "licensing.line_not_yours")
    stranger.send("GET", f"/v1/license-files/{world.things['serial of shared']}").refused(
        404, "licensing.file_not_found"
    )
    for shown in (own["shared"], world.things["shared hardware"]):
        lines = stranger.send("GET", "/v1/history", query={"context": "device", "id": shown, "limit": 200}).expect(200)
        assert {item["company_id"] for item in lines["items"]} == {world.stranger.tokens["company"]["id"]}
    lines = callers["own admin"].send("GET", "/v1/history", query={"action": "device_added_elsewhere"}).expect(200)
    assert [(item["actor"], item["hardware_id"]) for item in lines["items"]] == [
        (None, world.things["shared hardware"])
    ]


def test_what_anybody_may_ask_about_anything_tells_a_fixed_minimum(world: World, callers: dict[str, Caller]) -> None:
    """The reads across companies that are meant (S9): warranty, the devices of an order, adding what others have."""
    stranger, hardware_id = callers["stranger"], world.things["certified hardware"]
    warranty = stranger.send("GET", "/v1/warranty", query={"hardware_id": hardware_id}).expect(200)
    assert set(warranty) == {"hardware_id", "type", "warranty", "ssa_ends_on", "rma"}
    order = stranger.send("GET", f"/v1/orders/{world.things['order']}/devices").expect(200)
    assert set(order) == {"number", "items", "next"}
    assert {name for item in order["items"] for name in item} == {"hardware_id", "type", "shipped_on"}
    body = {"project_id": world.own["stranger"]["project"], "hardware_ids": [hardware_id]}
    added = stranger.send("POST", "/v1/devices", json=body, query={"dry_run": "true"}).expect(200)
    (item,) = added["items"]
    assert (item["result"], item["code"], item["device_id"]) == ("warning", "devices.in_other_company", None)


def test_ids_of_others_in_lists_get_the_same_results_as_unknown_ones(world: World, callers: dict[str, Caller]) -> None:
    own = world.own["stranger"]
    nothing = str(uuid.uuid4())

    def results(device_id: str, dry_run: str) -> Any:
        body = {"device_ids": [own["device"], device_id], "project_id": own["project"]}
        answer = callers["stranger"].send("POST", "/v1/device-moves", json=body, query={"dry_run": dry_run})
        return json.loads(json.dumps(answer.expect(200)).replace(device_id, "…"))

    for dry_run in ("true", "false"):
        assert results(world.things["device"], dry_run) == results(nothing, dry_run)
    path = f"/v1/devices/{own['device']}/licenses"
    refusals = []
    for source in (world.things["project"], nothing):
        body = {"licenses": [{"license_type": "port8", "quantity": 1}], "sources": [source]}
        problem = callers["stranger"].send("POST", path, json=body).refused(404, "projects.not_found")
        refusals.append({**problem, "instance": "…"})
    # Two rooms refuse here, each what it knows: whoever compares must not see which (S8d).
    assert refusals[0] == refusals[1]


def test_no_answer_to_a_stranger_ever_showed_an_id_of_the_owner(world: World, watch: Watch) -> None:
    """All answers of the matrix again, for every id that the owner has seen by now (I14)."""
    path = f"/v1/devices/{world.own['stranger']['shared']}/licenses"
    shared = {item["id"] for item in world.stranger.get(path).expect(200)["items"]}
    strangers = [entry for person in ("stranger", "loner", "nobody", "locked") for entry in watch.of_person(person)]
    # Whose request added a shared device stands in the owner's history as the request's id, and as nothing else.
    requests = ids_in(re.findall("(?i)x-request-id: (.*)", "\n".join(entry.shown for entry in strangers)))
    known = ids_in(entry.shown for person in ("owner", "member") for entry in watch.of_person(person))
    known |= ids_in(world.things.values())
    known -= shared | requests | {world.staff.tokens["user"]["id"]}
    leaks = {
        (entry.caller, entry.request, found)
        for entry in strangers
        for found in (ids_in([entry.shown]) & known) - ids_in([entry.sent])
    }
    assert not leaks, leaks
    assert strangers, "the matrix was not run"


def test_the_watch_sees_a_leak_in_body_and_header_and_lets_pass_what_was_sent() -> None:
    """The watch itself, so that its silence means something."""

    def answer(body: str, header: str = "") -> Answer:
        response = requests.Response()
        response.status_code, response._content = 200, body.encode()
        response.headers["X-Test"] = header
        return Answer(response)

    canaries = {group: {"amount": "487631", "name": "Nordlicht"} for groups in UNSEEN.values() for group in groups}
    watch, stranger = Watch(canaries), next(role for role in ROLES if role.name == "stranger")
    for shown, header in (("Nordlicht", ""), ("", "Nordlicht"), ('{"n":487631}', "")):
        with pytest.raises(AssertionError, match="shows stranger"):
            watch.look(stranger, "GET /", ("/",), answer(shown, header))
    watch.look(stranger, "GET /", ("/", {"name": "Nordlicht"}), answer("Nordlicht"))
    watch.look(stranger, "GET /", ("/",), answer("0190-487631-ab 14876310"))
