"""Each `pattern` of the OpenAPI document means in JavaScript what it means to the services (Issue 6.5).

Node judges the same texts as Python: right ones made from the pattern, and each of them spoiled, also by what the two
languages tend to judge differently (line ends, digits and letters beyond ASCII, blanks of other scripts).
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateway.openapi import document

SCRIPT = Path(__file__).with_name("patterns.mjs")
SPOILERS = (
    "\n", "\r\n", "\u2028", " ", "\u00a0", "\ufeff", "\u0663", "\uff11", "\u00e4", "\u017f", "\U0001f600", "\x00",
    "/", "-", "0",
)  # fmt: skip


def patterns() -> list[str]:
    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("pattern"), str):
                yield value["pattern"]
            for inner in value.values():
                yield from walk(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner)

    return sorted(set(walk(json.loads(json.dumps(document())))))


def as_python(pattern: str) -> re.Pattern[str]:
    r"""Return what the services compile: their end is `\Z`, which the document writes as `$`."""
    return re.compile(re.sub(r"\$$", r"\\Z", pattern))


def texts_of(pattern: str) -> list[str]:
    made: list[str] = []

    @settings(max_examples=15, database=None, derandomize=True, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.from_regex(as_python(pattern), fullmatch=True))
    def draw(text: str) -> None:
        made.append(text)

    draw()
    good = sorted({text for text in made if not re.search("[\ud800-\udfff]", text)}, key=lambda text: (len(text), text))
    spoiled = [
        *(f"{text}{bad}" for text in good for bad in SPOILERS),
        *(f"{bad}{text}" for text in good for bad in SPOILERS),
        *(text[:at] + bad + text[at + 1 :] for text in good[:6] for bad in SPOILERS for at in (0, len(text) // 2)),
        *(text[:-1] for text in good), *(text.swapcase() for text in good), "",
    ]  # fmt: skip
    return [*good, *spoiled]


def test_each_pattern_means_in_javascript_what_it_means_here() -> None:
    asked = {pattern: texts_of(pattern) for pattern in patterns()}
    done = subprocess.run(
        ["node", str(SCRIPT)], input=json.dumps(asked), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told) == set(asked) != set()
    wrong = []
    for pattern, texts in asked.items():
        here = [as_python(pattern).match(text) is not None for text in texts]
        assert {True, False} == set(here), f"{pattern}: no text fits, or each does"
        wrong += [
            (pattern, text, mine)
            for text, mine, theirs in zip(texts, here, told[pattern], strict=True)
            if mine is not theirs
        ]
    assert wrong == [], "pattern, text, whether Python lets it pass"
