"""A German text tells what the English one tells: all codes, all sentences of all raising code, all wrong fields.

The tables are read from the source, so a sentence or a code that is new fails here until it has its German (Issue 6.5).
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from marshmallow import Schema, fields

from gateway import wording
from gateway.codes import all_codes
from gateway.problems import document, texts
from gateway.routes import ROWS
from gateway.sentences import FACT, FILE, german_of
from gateway.tests.sentences import all_sentences, sentences_of
from services.chassis import errors
from services.chassis.errors import ServiceError

PAIRS: Final[dict[str, str]] = json.loads(FILE.read_text("utf-8"))
BY_SHAPE: Final = {FACT.sub("{}", english): english for english in PAIRS}
#: A sentence put together of wrong fields, each of which is held by a test of its own.
COMPOSED: Final = re.compile(r"(\{\}|\?cursor): .+", re.DOTALL)
#: Codes of which nobody can do anything about: what is said is all there is to say.
WITHOUT_REMEDY: Final = frozenset(
    {
        "accounts.otp_not_enabled",
        "devices.already_imported",
        "licensing.already_returned",
        "licensing.file_issued",
        "licensing.return_not_encrypted",
        "request.not_found",
        "service.caller_refused",
        "service.internal",
    }
)
#: What to do stands in a member that the sentence names, or in what it says must be.
TOLD_OTHERWISE: Final = frozenset(
    {
        "devices.in_other_company",
        "devices.marked_rma",
        "licensing.not_returnable",
        "licensing.rule_violated",
        "request.bad_idempotency_key",
        "request.invalid",
        "request.method_not_allowed",
    }
)
_VERBS: Final = (
    "accept|add|ask|assign|change|check|choose|compare|contact|correct|create|delete|do|draw|enter|exchange|give|go on|"
    "hand|leave|let|list|look|log in|make|move|name|open|prove|read|refresh|remove|repeat|request|return|see|send|set|"
    "split|swap|switch|take|try|upload|use|wait|write"
)
_ENGLISH_REMEDY: Final = re.compile(rf"(?:^|[;:,.}}] |\b(?:and|or|then) )(?:{_VERBS})\b", re.IGNORECASE)
_GERMAN_REMEDY: Final = re.compile(r"\b\w+e?n Sie\b")
_NUMBERS: Final = {"ten": "10", "zehn": "10", "twelve": "12", "zwölf": "12", "year": "1 y", "jahr": "1 y"}
_LITERAL: Final = re.compile(
    r"`[^`]+`|/[a-z][\w{}/.-]*|\b(?:POST|GET|PATCH|DELETE|PUT)\b|\b[A-Z][A-Z0-9]{2,}\b|\b\w+_\w+\b|U\+\w+"
    r"|\d[\d.,]*(?:-[\dA-F-]+)?|\b(?:Retry-After|Idempotency-Key|Content-Length|If-Match|ETag|Host)\b"
)


def _facts(text: str) -> set[str]:
    """Return what a text tells beyond words: facts, members, addresses, numbers, dates, names of headers."""
    found = {fact[1] for fact in FACT.finditer(text)}
    bare = FACT.sub("", text)
    for one in _LITERAL.findall(bare):
        number = one.rstrip(".,")
        plain = re.fullmatch(r"\d+(?:[.,]\d{3})*", number)
        found.add(re.sub(r"[.,]", "", number) if plain else one.strip("`.,").removeprefix("/v1"))
    found |= {_NUMBERS[w] for w in re.findall(r"[a-zäöü]+", bare.lower()) if w in _NUMBERS}
    return found


@pytest.mark.parametrize("code", sorted(all_codes()))
def test_the_german_of_a_code_tells_what_its_english_tells(code: str) -> None:
    english, german = all_codes()[code], texts("de")[code]["detail"]
    assert german != english
    assert _facts(german) == _facts(english)
    assert bool(_GERMAN_REMEDY.search(german)) == bool(_ENGLISH_REMEDY.search(english)), (english, german)
    told = bool(_ENGLISH_REMEDY.search(english))
    assert told or code in WITHOUT_REMEDY | TOLD_OTHERWISE, f"{code} does not say what to do"


@pytest.mark.parametrize("english", sorted(PAIRS))
def test_the_german_of_a_sentence_has_its_facts_and_its_remedy(english: str) -> None:
    german = PAIRS[english]
    assert _facts(german) == _facts(english)
    assert bool(_GERMAN_REMEDY.search(german)) == bool(_ENGLISH_REMEDY.search(english)), (english, german)


def test_every_sentence_of_all_raising_code_has_its_german() -> None:
    said, meanings = all_sentences(), set(all_codes().values())
    assert len(said) > 200
    missing = [
        f"{one.place}: {one.template}"
        for one in said
        if one.template not in meanings
        and one.template not in BY_SHAPE
        and not COMPOSED.fullmatch(one.template)
        and wording.of_field(one.template.replace("{}", "GET").replace("than GET", "than 5")) is None
    ]
    assert missing == []


def test_no_german_is_left_of_a_sentence_that_nobody_says() -> None:
    said = {one.template for one in all_sentences()}
    # Words and halves of sentences are filled into others; this one is made for devices too.
    heard = {"The content is not base64."}
    assert {shape for shape in BY_SHAPE if shape.endswith(".") and shape not in said | heard} == set()


@pytest.mark.parametrize(
    "source",
    [
        "def f(x):\n    raise conflict('a.b', x.text_of())",
        "def f():\n    raise conflict('a.b', TEXTS[0])",
        "def f():\n    raise conflict('a.b', nowhere)",
    ],
)
def test_a_refusal_whose_text_cannot_be_read_fails(source: str) -> None:
    with pytest.raises(AssertionError, match="cannot be read"):
        sentences_of("services/any.py", source)


def test_texts_are_read_as_they_are_put_together() -> None:
    source = "def f(x):\n    w = 'one' if x else 'two'\n    raise conflict('a.b', f'It is {w} of {x}' + '.')"
    assert [one.template for one in sentences_of("services/any.py", source)] == ["It is one of {}.", "It is two of {}."]


@pytest.mark.parametrize("english", [text for text in PAIRS if FACT.search(text)])
def test_a_german_refusal_keeps_every_value(english: str) -> None:
    values = {fact[1]: f"x{fact[1]}x" for fact in FACT.finditer(english)}
    said = FACT.sub(lambda fact: values[fact[1]], english)
    german = german_of(said)
    assert german is not None
    assert german != said
    assert all(value in german for value in values.values())


@pytest.mark.parametrize(
    ("english", "german"),
    [
        (
            "expires_at is more than a year away: give a time up to 2027-11-02.",
            "bis zum 02.11.2027 an.",
        ),
        (
            "The project is not empty: there are 3 devices, 2 activation keys; move or end them first.",
            "3 Geräte, 2 Akt",
        ),
        (
            "This is not an activation key. It has 3 characters, a key has 25. Compare it with the paper.",
            "Er hat 3 Zei",
        ),
        (
            "00078 is not a manufacturer of our handsets: their IPEIs begin with 00077 or 05003.",
            "mit 00077 oder 05003.",
        ),
        ("Another project of the company is called 'Nord': choose another name.", "heißt „Nord“: "),
        (
            "The project Nord\nSüd is archived, so nothing can be drawn from it: leave it out.",
            "Nord\nSüd ist archiviert",
        ),
    ],
)
def test_days_numbers_and_words_are_written_as_germans_write_them(english: str, german: str) -> None:
    assert german in str(german_of(english))


def test_the_kept_refusal_of_a_repetition_is_german_too() -> None:
    kept = ServiceError(
        "conflict", "projects.archived", "The project {a} is archived: take it out of the archive first."
    )
    assert document(kept, "de", "")["detail"] == "Das Projekt {a} ist archiviert: Holen Sie es zuerst aus dem Archiv."


def _fields_of(schema: Schema) -> Iterator[fields.Field[Any]]:
    for field in schema.fields.values():
        yield from _with_inner(field)


def _with_inner(field: fields.Field[Any]) -> Iterator[fields.Field[Any]]:
    yield field
    if isinstance(field, fields.Nested):
        yield from _fields_of(field.schema)
    for name in ("inner", "key_field", "value_field"):
        inner = getattr(field, name, None)
        if isinstance(inner, fields.Field):
            yield from _with_inner(inner)


def _said_of_fields() -> set[str]:
    """Return everything that marshmallow and our fields can say of a request, with bounds as they stand there."""
    said: set[str] = set()
    for row in ROWS:
        if row.request is None:
            continue
        for field in _fields_of(row.request()):
            # `format` and `awareness` are said where a value is written, and of times without a zone, which we refuse.
            said |= {str(t) for name, t in field.error_messages.items() if name not in ("format", "invalid_awareness")}
            for check in field.validators:
                said |= {str(text) for text in _said_by(check)}
    return {
        text.replace("{obj_type}", "date").replace("{choices}", "a, b")
        for text in said
        if text[0].isupper() and "_op}" not in text and "None" not in text
    }


def _said_by(check: Any) -> Iterator[str]:
    if (own := getattr(check, "error", None)) is not None:
        yield own
        return
    bounds = {name: getattr(check, name, None) for name in ("min", "max", "equal")}
    for name in dir(check):
        text = getattr(check, name)
        if name.startswith(("message_", "default_message")) and isinstance(text, str):
            yield re.sub(r"\{(min|max|equal)\}", lambda bound: str(bounds[bound[1]]), text)


def _said_in_our_code() -> set[str]:
    root, said = Path(errors.__file__).parents[1], set()
    for path in root.rglob("*.py"):
        if "/tests/" in path.as_posix():
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ValidationError":
                if isinstance(node.args[0], ast.Constant):
                    said.add(str(node.args[0].value))
            elif isinstance(node, ast.FunctionDef) and node.name == "_refusal" and path.name == "texts.py":
                said |= {_filled(one) for one in ast.walk(node) if isinstance(one, ast.JoinedStr)}
    return said


def _filled(text: ast.JoinedStr) -> str:
    parts = (p.value if isinstance(p, ast.Constant) else "{}" for p in text.values)
    return "".join(map(str, parts)).replace("contain {}", "contain U+202E").replace("{}", "7")


@pytest.mark.parametrize("english", sorted(_said_of_fields() | _said_in_our_code()))
def test_every_wrong_field_is_told_in_german_with_its_bounds(english: str) -> None:
    german = wording.of_field(english)
    assert german is not None
    assert set(re.findall(r"\d+|U\+\w+", english)) <= set(re.findall(r"\d+|U\+\w+", german))
