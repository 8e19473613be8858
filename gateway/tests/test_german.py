"""Whoever asks in German is answered in German, with the facts that the English text has (Issue 6.5)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.problems import document, texts
from gateway.responses import codes_of
from gateway.routes import ROWS
from gateway.row import Right, Row
from gateway.tests.conftest import Gateway
from services.chassis.errors import ServiceError
from services.chassis.ids import new_id

GERMAN = {"Accept-Language": "de"}


def test_a_sentence_without_german_is_told_by_its_code() -> None:
    """The tests of all raising code see to it that there is none; a client would still be told in its language."""
    error = ServiceError("not_found", "devices.not_found", "Nobody ever wrote this sentence.")
    assert document(error, "de", "")["detail"] == texts("de")["devices.not_found"]["detail"]


@pytest.mark.parametrize("row", [row for row in ROWS if row.right is not Right.NONE], ids=lambda row: row.rpc)
def test_what_the_door_refuses_is_german_on_every_route(gateway: Gateway, row: Row) -> None:
    path = re.sub(r"\{\w+\}", new_id(), row.path)
    for token, query in ((None, ""), (gateway.tokens.make(staff=True), "?nothing_like_this=1")):
        german, english = (
            gateway.ask(row.method, path + query, token=token, headers={"Accept": "application/json", **headers}).body
            for headers in (GERMAN, {})
        )
        assert german["code"] == english["code"] in codes_of(row)
        assert german["detail"] != english["detail"]
        for one, other in zip(german.get("errors", []), english.get("errors", []), strict=True):
            assert one["detail"] != other["detail"]


def test_lines_of_an_answer_are_german_and_keep_their_facts(gateway: Gateway) -> None:
    line = {"input": "x", "hardware_id": None, "type": None, "result": "error", "code": "devices.not_found"}
    gateway.rooms.on("devices", "add_devices", {"summary": {}, "items": [{**line, "detail": "English."}]})
    body = {"project_id": new_id(), "text": "x"}
    [german] = gateway.ask("POST", "/v1/devices", body, headers=GERMAN).body["items"]
    assert german == {**line, "detail": texts("de")["devices.not_found"]["detail"]}
    assert gateway.ask("POST", "/v1/devices", body).body["items"][0]["detail"] == "English."


def test_reasons_of_actions_are_german_and_name_the_right(gateway: Gateway) -> None:
    action = {"name": "move_licenses", "allowed": False, "reason": "accounts.right_needed", "right": "MOVE_LICENSES"}
    english = "Your account needs the right MOVE_LICENSES: ask the vendor for it."
    shown: dict[str, Any] = {"id": new_id(), "possession": "proven", "version": 1}
    gateway.rooms.on("devices", "get_device", {**shown, "actions": [{**action, "detail": english}]})
    [german] = gateway.ask("GET", f"/v1/devices/{shown['id']}", headers=GERMAN).body["actions"]
    assert german["detail"] == "Ihrem Konto fehlt das Recht MOVE_LICENSES; bitten Sie den Hersteller darum."


@pytest.mark.parametrize(
    ("path", "body", "pointer", "german"),
    [
        ("/v1/projects", {"name": "x" * 1000}, "/name", r"Höchstens \d+ Zeichen gehen\."),
        ("/v1/projects?limit=900", None, "?limit", r"Der Wert muss zwischen 1 und 200 liegen\."),
        ("/v1/devices?sort=odd", None, "?sort", r"Der Wert muss einer von diesen sein: hardware_id, .+\."),
        ("/v1/balance-moves-of-nobody", None, None, r"Unter dieser Adresse gibt es nichts\."),
    ],
)
def test_wrong_fields_are_told_in_german_with_their_bounds(
    gateway: Gateway, path: str, body: dict[str, Any] | None, pointer: str | None, german: str
) -> None:
    answer = gateway.ask("POST" if body else "GET", path, body, headers=GERMAN)
    if pointer is None:
        assert re.fullmatch(german, answer.body["detail"])
        return
    [entry] = answer.body["errors"]
    assert entry["pointer"] == pointer
    assert re.fullmatch(german, entry["detail"]), entry
    assert answer.body["detail"] == f"{pointer}: {entry['detail']}"
