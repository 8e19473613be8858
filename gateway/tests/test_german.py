"""Whoever asks in German is answered in German, with the facts that the English text has (Issue 6.5)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.codes import all_codes
from gateway.problems import document, texts
from gateway.responses import codes_of
from gateway.routes import ROWS
from gateway.row import Right, Row
from gateway.tests.conftest import Gateway
from services.chassis.errors import ServiceError, conflict
from services.chassis.ids import new_id
from services.chassis.languages import choose_language

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
        ("/v1/projects", {"name": "x" * 1000}, "/name", r"Höchstens \d+ Zeichen sind erlaubt\."),
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


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("DE", "de"),
        ("de-AT", "de"),
        ("de-AT-1996, en;q=0.9", "de"),
        ("fr", "en"),
        ("fr, de;q=0.1", "de"),
        ("en;q=0.4, de;q=0.5", "de"),
        ("de;q=0.4, en;q=0.5", "en"),
        ("de, en", "de"),
        ("en, de", "en"),
        ("*", "en"),
        ("de;q=0.5, *", "en"),
        ("de, *;q=0.5", "de"),
        ("en;q=0, *", "de"),
        ("en;q=0, *;q=0.1", "de"),
        ("*;q=0", "en"),
        ("de;q=0", "en"),
        ("de;q=0, en;q=0", "en"),
        ("de; Q = 0.7 , en ; q=0.6", "de"),
        ("de;level=1;q=0.2, en;q=0.3", "en"),
        ("de;q=nan", "en"),
        ("de;q=inf, en;q=0.1", "en"),
        ("de;q=-1", "en"),
        ("de;q=1e9", "en"),
        ("de;q=\u0661", "en"),
        (",,;;,=;q=,q", "en"),
        ("de,", "de"),
        ("xx," * 1500 + "de", "de"),
        ("d" * 8000, "en"),
        ("de" + "-x" * 3000, "de"),
    ],
)
def test_the_language_is_the_one_that_is_asked_for_most(accept: str, language: str) -> None:
    assert choose_language(accept) == language


@pytest.mark.parametrize(
    "accept", ["de-AT;q=0.9, *;q=0.1", "xx," * 4000 + "de", "\x80\xff;q=\xe9", ";;;q=q=q,,,", "de" * 6000]
)
def test_no_wish_for_a_language_breaks_an_answer(gateway: Gateway, accept: str) -> None:
    for path, token in (("/v1/projects?no_such_field=1", gateway.tokens.make()), ("/v1/projects", None)):
        answer = gateway.ask("GET", path, token=token, headers={"Accept-Language": accept})
        assert answer.status in (401, 422)
        assert answer.headers["content-language"] == choose_language(accept)


def test_what_carries_sentences_tells_its_language_and_varies_by_it(gateway: Gateway) -> None:
    action = {"name": "move_device", "allowed": False, "reason": "projects.archived", "detail": "English."}
    shown: dict[str, Any] = {"id": new_id(), "possession": "proven", "version": 1, "actions": [action]}
    gateway.rooms.on("devices", "get_device", shown)
    tags = set()
    for asked, language in (({}, "en"), (GERMAN, "de")):
        answer = gateway.ask("GET", f"/v1/devices/{shown['id']}", headers=asked)
        assert (answer.headers["content-language"], answer.headers["vary"]) == (language, "Accept-Language")
        tags.add(answer.headers["etag"])
    assert len(tags) == 2
    refused = gateway.ask("GET", "/v1/nothing-here", headers=GERMAN)
    assert (refused.headers["content-language"], refused.headers["vary"]) == ("de", "Accept-Language")
    door = gateway.ask("GET", "/device/v1/x/nothing-here", headers=GERMAN, token=None)
    assert (door.headers["content-language"], door.headers["vary"]) == ("de", "Accept, Accept-Language")
    page = gateway.ask("GET", "/problems/devices.not_found", headers=GERMAN, token=None)
    assert (page.headers["content-language"], page.headers["vary"]) == ("de", "Accept-Language")
    quiet = gateway.ask("GET", "/healthz", headers=GERMAN, token=None)
    assert "content-language" not in quiet.headers


def test_every_answer_with_a_sentence_is_known_to_speak() -> None:
    speaking = {row.rpc for row in ROWS if row.speaks}
    assert speaking >= {
        *("get_device", "add_devices", "move_devices", "list_device_licenses", "return_licenses", "list_history"),
    }
    assert not speaking & {"get_balance", "list_projects", "get_me"}


def test_what_stays_on_a_device_and_why_a_certificate_ended_is_german(gateway: Gateway) -> None:
    why = "Gateway licenses stay with their device."
    kept = {"license_type": "isdn", "name": "ISDN", "quantity": 1, "reason": "gateway", "detail": why}
    error = conflict("licensing.not_returnable", all_codes()["licensing.not_returnable"], kept=[kept])
    assert document(error, "en", "")["kept"] == [kept]
    [german] = document(error, "de", "")["kept"]
    assert german == {**kept, "detail": "Gateway-Lizenzen bleiben bei ihrem Gerät."}
    reasons = {
        "The vendor's staff certified another key of the device.": "Mitarbeiter des Herstellers haben einen anderen "
        "Schlüssel des Geräts zertifiziert.",
        "Stolen in Bremen.": "Stolen in Bremen.",
    }
    for reason, expected in reasons.items():
        line = {"id": new_id(), "action": "certificate_revoked", "data": {"serial": "ab", "reason": reason}}
        gateway.rooms.on("history", "list_history", {"items": [line], "next": None})
        [german] = gateway.ask("GET", "/v1/history", headers=GERMAN).body["items"]
        assert german["data"] == {"serial": "ab", "reason": expected}
        [english] = gateway.ask("GET", "/v1/history").body["items"]
        assert english["data"]["reason"] == reason
    # What a person wrote stays as it was written, whatever it looks like.
    line = {"id": new_id(), "action": "balance_corrected", "data": {"reason": next(iter(reasons))}}
    gateway.rooms.on("history", "list_history", {"items": [line], "next": None})
    assert gateway.ask("GET", "/v1/history", headers=GERMAN).body["items"] == [line]
