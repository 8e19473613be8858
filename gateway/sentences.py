"""The German of each sentence that a room or the door makes: `texts/sentences.de.json`, template by template.

A refusal is made once, in English, with its facts in it, and is stored like that for repetitions. Its template finds
the facts again, so both languages tell the same ones. A sentence that has no German fails a test over all raising code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).parent / "texts" / "sentences.de.json"
FACT: Final = re.compile(r"\{(?!id\})(\w+)(?::(\w+))?\}")
"""A fact in a template, with how German writes it (`day`, `word`, `words`, `either`, `quoted`); `{id}` is none."""
_DAY: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
_MOST: Final = 1000
"""Characters of a sentence in which facts are looked for: the work grows with a power of it, and people wrote parts."""


def german_of(english: str) -> str | None:
    """Return a sentence in German with the facts that it has in English, None where it is not known.

    Args:
        english: the sentence as the room said it.
    """
    plain, templates = _known()
    if english in plain:
        return plain[english]
    if len(english) > _MOST:
        return None
    for pattern, german in templates:
        found = pattern.fullmatch(english)
        if found is not None:
            return _filled(german, found.groupdict())
    return None


def _filled(german: str, facts: Mapping[str, str]) -> str:
    return FACT.sub(lambda fact: _written(facts[fact[1]], fact[2]), german)


@cache
def _known() -> tuple[dict[str, str], list[tuple[re.Pattern[str], str]]]:
    pairs: dict[str, str] = json.loads(FILE.read_text("utf-8"))
    plain = {english: german for english, german in pairs.items() if not FACT.search(english)}
    templates = [(_pattern(english), german) for english, german in pairs.items() if english not in plain]
    return plain, templates


def _pattern(english: str) -> re.Pattern[str]:
    parts, end = [], 0
    for fact in FACT.finditer(english):
        parts += [re.escape(english[end : fact.start()]), f"(?P<{fact[1]}>.*?)"]
        end = fact.end()
    return re.compile("".join([*parts, re.escape(english[end:])]), re.DOTALL)


def _written(value: str, how: str | None) -> str:
    match how:
        case "day":
            return _DAY.sub(r"\3.\2.\1", value)
        case "word":
            return german_of(value) or value
        case "words":
            counted = (one.partition(" ") for one in value.split(", "))
            return ", ".join(f"{number} {german_of(noun) or noun}" for number, _, noun in counted)
        case "quoted":
            return f"„{value[1:-1]}“" if value[:1] in "'\"" else value
        case "either":
            return value.replace(" or ", " oder ")
        case _:
            return value
