"""Every write under one Idempotency-Key: done once, answered twice with the same bytes, also after a restart (api.md).

The routes are the gateway's rows that take a key; what is sent is what the tenant matrix sends. A refusal that a room
stored is repeated as one, with `Idempotent-Replayed`; what is refused before anything is stored (who asks, what they
may see, the form of the request) is looked at anew and never claims to be a repetition.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest

from tests.integration.http_client import Answer
from tests.integration.installation import Installation
from tests.integration.tenancy import devices
from tests.integration.tenancy.asking import filled
from tests.integration.tenancy.callers import Caller, make_callers
from tests.integration.tenancy.canaries import ID, Watch
from tests.integration.tenancy.cases import CASES, Case
from tests.integration.tenancy.declared import OF_ROUTE, naming_fields
from tests.integration.tenancy.expected import code_of, expect
from tests.integration.tenancy.makers import FRESH
from tests.integration.tenancy.people import PASSWORD, register
from tests.integration.tenancy.world import World

MARK: Final = "Idempotent-Replayed"
_GOOD: Final = tuple(case for case in CASES if case.row.is_keyed and case.query.get("dry_run") != "true")
# What the matrix does not try, since it is no question of rights: refusals by what is stored.
_REFUSED: Final[tuple[tuple[str, dict[str, Any], str], ...]] = (
    ("POST /v1/activations", {"body": {"project_id": "$project", "key": "$used key"}}, "licensing.key_used"),
    (
        "POST /v1/devices/{device_id}/licenses",
        {"body": {"licenses": [{"license_type": "port8", "quantity": 900_000}]}},
        "licensing.rule_violated",
    ),
    (
        "DELETE /v1/devices/{device_id}/licenses/{line_id}",
        {"thing": "certified", "path": {"line_id": "$line of certified"}},
        "licensing.file_issued",
    ),
    (
        "POST /v1/devices/{device_id}/license-files",
        {"thing": "moved", "body": {"encrypted": True}},
        "licensing.no_certificate",
    ),
    ("POST /v1/devices/{device_id}/possession", {"body": {"order_number": "$order2"}}, "devices.not_in_order"),
    (
        "POST /v1/staff/orders",
        {"body": {"number": "$order", "licenses": [{"license_type": "port8", "quantity": 1}]}},
        "licensing.order_exists",
    ),
    (
        "POST /v1/staff/balance-corrections",
        {"body": {"project_id": "$project", "license_type": "port8", "quantity": -900_000, "reason": "hostile"}},
        "licensing.insufficient_balance",
    ),
)
# Another request that is as good by itself, where a change of any field would be refused before the key is looked at.
_OTHER: Final[Mapping[str, Mapping[str, Any]]] = {
    "POST /v1/activations": {"comment": "another"},
    "PATCH /v1/projects/{project_id}": {"description": "another"},
    "POST /v1/projects/{project_id}/rights": {"email": "$neighbor's address", "company_id": "$neighbor's company"},
    "PUT /v1/me/selected-project": {"project_id": "$project2"},
    "POST /v1/devices": {"hardware_ids": ["$another spare"], "order_number": None},
    "POST /v1/device-moves": {"device_ids": ["$moved"]},
    "PUT /v1/devices/{device_id}/floating-license": {"version": 6},
    "POST /v1/devices/{device_id}/possession": {"order_number": "$another order"},
    "POST /v1/staff/balance-corrections": {"quantity": 2},
    "POST /v1/staff/service-accounts/{account_id}/tokens": {"expires_at": "2027-02-01T00:00:00Z"},
}
# Wrong by themselves: nothing is stored of them, since there is nothing that could turn out otherwise.
_ANEW: Final = frozenset({"accounts.terms_not_accepted", "request.invalid"})


def _refused() -> Iterator[Case]:
    for route, changes, code in _REFUSED:
        good = next(case for case in _GOOD if case.route == route)
        yield replace(good, **{"fresh": None, **changes}, status=409, code=code)


KEYED: Final = {f"{case} {place}": case for place, case in enumerate([*_GOOD, *_refused()])}


@dataclass
class Sent:
    """One request under one key, and what came of it.

    Args:
        case: of the tenant matrix, or a refusal of here.
        caller: who asks.
        path, query, body, text: what is sent.
        things: what `$name` stands for.
    """

    case: Case
    caller: Caller
    path: str
    query: Mapping[str, Any] | None
    body: Any
    text: str | None
    things: Mapping[str, str]
    key: str = field(default_factory=lambda: str(uuid.uuid4()))

    def ask(self, **changes: Any) -> Answer:
        """Send the request under its key, changed as said."""
        row = self.case.row
        sent = {"path": self.path, "json": self.body, "text": self.text, "key": self.key, **changes}
        return self.caller.send(row.method, sent.pop("path"), query=self.query, media_type=row.takes, **sent)

    def other(self) -> dict[str, Any] | None:
        """Return what makes another request of it, its body or its address; None where it has neither."""
        if self.text is not None:
            return {"text": self.things["another request" if "CERTIFICATE" in self.text else "another return"]}
        if told := _OTHER.get(self.case.route):
            body = {**self.body, **_with(told, self.things)}
            return {"json": {name: value for name, value in body.items() if value is not None}}
        for name in sorted(self.body or {}, key=lambda one: (one in naming_fields(self.case.row), one == "email", one)):
            if (value := _unlike(self.body[name])) is not None:
                return {"json": {**self.body, name: value}}
        head, _, last = self.path.rpartition("/")
        return {"path": f"{head}/{uuid.uuid4()}"} if re.fullmatch(ID, last) else None


def _with(template: Any, things: Mapping[str, str]) -> Any:
    if isinstance(template, Mapping):
        return {name: _with(inner, things) for name, inner in template.items()}
    if isinstance(template, list):
        return [_with(inner, things) for inner in template]
    return things[template[1:]] if isinstance(template, str) and template.startswith("$") else template


def _unlike(value: Any) -> Any:
    """Return a value of the same form that is not the same, None where none is known."""
    match value:
        case bool():
            return not value
        case [{"quantity": int(quantity)} as first, *rest]:
            return [{**first, "quantity": quantity + 1}, *rest]
        case str() if re.fullmatch(ID, value):
            return str(uuid.uuid4())
        case str():
            return {"en": "de", "member": "admin"}.get(value, f"x{value}")
    return None


def _told(answer: Answer) -> Any:
    """Return what a repetition must have in common with the first answer: all, but its time and a refusal's request."""
    content: Any = {**answer.body, "instance": ""} if answer.status >= 400 and answer.is_json else answer.content
    names = {"date", "x-request-id", MARK.lower(), *(["content-length"] if isinstance(content, dict) else [])}
    return answer.status, {n.lower(): v for n, v in answer.headers.items() if n.lower() not in names}, content


def _best(case: Case, callers: dict[str, Caller]) -> Caller:
    """Return who gets furthest."""
    return next(caller for caller in callers.values() if expect(case, caller.role).success)


Asked = dict[str, tuple[Sent, Answer, Answer]]


@pytest.fixture(scope="module")
def world(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Companies of their own: those of the other hostile tests have run into the limit of wrong keys by then."""
    return World.make(installation, tmp_path_factory.mktemp("repeats"), "REPEATS", 0xC00000)


@pytest.fixture(scope="module")
def callers(world: World) -> dict[str, Caller]:
    """Everybody who asks, by name."""
    return make_callers(world, Watch(world.canaries))


@pytest.fixture(scope="module")
def asked(world: World, callers: dict[str, Caller]) -> Asked:
    """Every request, twice under its key."""
    used = world.fresh_key()
    world.owner.post("/v1/activations", {"project_id": world.things["project"], "key": used}).expect(201)
    things = {
        **world.things,
        "used key": used,
        "another order": f"{world.mark}-SPARE",
        "another spare": world.spare.pop(),
        "another request": devices.certificate_request(),
        "another return": devices.return_of_another(world.things["return"], world.things["certified hardware"]),
        "neighbor's address": world.email("neighbor"),
    }
    made = {}
    for name, case in KEYED.items():
        fresh = FRESH[case.fresh](world) if case.fresh else {}
        sent = Sent(case, _best(case, callers), *filled(case, world, {"used key": used, **fresh}), {**things, **fresh})
        made[name] = (sent, sent.ask(), sent.ask())
    return made


@pytest.fixture(scope="module")
def asked_again(asked: Asked, installation: Installation) -> dict[str, Answer]:
    """Every request once more, after the installation was started anew."""
    installation.restart()
    return {name: sent.ask() for name, (sent, _, _) in asked.items()}


def test_every_route_that_takes_a_key_is_tried() -> None:
    assert {case.route for case in KEYED.values()} == {route for route, row in OF_ROUTE.items() if row.is_keyed}


@pytest.mark.parametrize("name", KEYED)
def test_a_repetition_gets_the_first_answer_and_says_so(name: str, asked: Asked) -> None:
    sent, first, second = asked[name]
    assert (first.status, code_of(first)) == (sent.case.status or sent.case.row.status, sent.case.code or "")
    assert MARK not in first.headers
    assert _told(second) == _told(first)
    assert second.headers.get(MARK) == (None if sent.case.code in _ANEW else "true")


@pytest.mark.parametrize("name", KEYED)
def test_another_request_under_the_key_is_refused(name: str, asked: Asked) -> None:
    sent, first, _ = asked[name]
    other = sent.other()
    if sent.case.code in _ANEW or other is None:
        # Nothing was stored under the key; or there is nothing that could be another.
        assert sent.case.code in _ANEW or (sent.body, sent.text) in [(None, None), ({}, None)]
        return
    answer = sent.ask(**other)
    assert MARK not in answer.headers
    # Whose it is that an address names, and whether a device signed a return, is asked before the key is looked at.
    before = "not_found" if "path" in other else "licensing.return_other_device"
    ends = ("idempotency.key_reused", *([before] if "path" in other or sent.case.row.raw == "xml" else []))
    assert code_of(answer).endswith(ends), answer.content
    assert _told(sent.ask()) == _told(first)


@pytest.mark.parametrize("name", KEYED)
def test_the_answer_outlives_the_processes(name: str, asked: Asked, asked_again: dict[str, Answer]) -> None:
    _, first, second = asked[name]
    assert _told(asked_again[name]) == _told(first)
    assert asked_again[name].headers.get(MARK) == second.headers.get(MARK)


def test_a_stored_refusal_stays_when_it_could_be_done_by_now(world: World, callers: dict[str, Caller]) -> None:
    admin, staff = callers["own admin"], callers["staff"]
    path, body = f"/v1/devices/{world.things['device']}/licenses", [{"license_type": "reporting8", "quantity": 1}]
    keys = [str(uuid.uuid4()) for _ in range(2)]
    first = admin.send("POST", path, json={"licenses": body}, key=keys[0])
    first.refused(409, "licensing.insufficient_balance")
    correction = {"project_id": world.things["project"], "quantity": 1, "reason": "hostile"}
    staff.send("POST", "/v1/staff/balance-corrections", json={**correction, "license_type": "reporting8"}).expect(201)
    again = admin.send("POST", path, json={"licenses": body}, key=keys[0])
    assert (MARK in first.headers, again.headers[MARK]) == (False, "true")
    assert _told(again) == _told(first)
    assert MARK not in admin.send("POST", path, json={"licenses": body}, key=keys[1]).headers


def test_a_company_is_made_once_though_several_rooms_make_it(installation: Installation) -> None:
    person, key = register(installation, "Regine", "Repeat"), str(uuid.uuid4())
    first, second = (person.post("/v1/companies", {"name": "Repeat Works"}, key=key) for _ in range(2))
    assert _told(second) == _told(first)
    assert (first.status, first.headers.get(MARK), second.headers.get(MARK)) == (201, None, "true")
    person.post("/v1/companies", {"name": "Other Works"}, key=key).refused(422, "idempotency.key_reused")
    assert [company["name"] for company in person.refresh().tokens["companies"]] == ["Repeat Works"]


def test_a_repeated_guess_is_counted_once(installation: Installation) -> None:
    """A lost answer must not lock out who asks for it again; another guess under the key is none."""
    person, key = register(installation, "Gundula", "Guess"), str(uuid.uuid4())
    body = {"old_password": "not the password", "password": "another horse battery staple"}
    for _ in range(12):
        person.send("PUT", "/v1/me/password", body, key=key).refused(422, "accounts.password_wrong")
    body["old_password"] = PASSWORD
    person.send("PUT", "/v1/me/password", body, key=key).refused(422, "idempotency.key_reused")
    done = str(uuid.uuid4())
    for place in range(12):
        answer = person.send("PUT", "/v1/me/password", body, key=done)
        answer.expect(204)
        assert (answer.headers.get(MARK) == "true") is (place > 0)
