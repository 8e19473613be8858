"""What is written from declarations says what the code says, and the declarations know everything that is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy import procedures
from deploy.reference.events import told_by
from deploy.reference.pages import REFERENCE, generated
from deploy.rooms import ROOMS
from gateway.codes import all_codes
from gateway.event_schemas import EVENTS

FILES = sorted(generated())
EMITS = re.compile(r"\.emit\(\s*\"(\w+)\"")


@pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
def test_generated_files_are_as_the_code_says(file: Path) -> None:
    """Issue 6.5: half of the error codes were missing in OpenAPI; issue 7.5: pages from declarations."""
    assert file.read_text("utf-8") == generated()[file], "run make reference"


def test_every_code_and_every_event_has_its_place() -> None:
    errors, events = ((REFERENCE / name).read_text("utf-8") for name in ("errors.md", "events.md"))
    assert set(re.findall(r'<a id="([\w.]+)"', errors)) == set(all_codes())
    told = {f"{source}.{name}" for source, types in EVENTS.items() for name in types}
    assert set(re.findall(r'<a id="([\w.]+)"', events)) == told


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_room_tells_is_in_its_contract(room: str) -> None:
    known = set(EVENTS[room])
    assert set(told_by(room)) <= known, "declared, and without a schema"
    files = [path for path in (procedures.ROOT / "services" / room).rglob("*.py") if "tests" not in path.parts]
    assert {name for path in files for name in EMITS.findall(path.read_text("utf-8"))} <= known


def test_every_declared_code_has_a_meaning() -> None:
    declared = {code for codes in procedures.procedures().values() for code in codes}
    assert declared <= set(all_codes())
