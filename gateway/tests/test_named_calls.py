"""What a row calls is named: its refusals are those of the procedures that it names, and it can call no other."""

from __future__ import annotations

import pytest

from gateway import compose
from gateway.responses import codes_of
from gateway.routes import ROWS
from gateway.row import NamedRooms
from gateway.tests.fakes import FakeRooms
from services.chassis.context import Call

BY_NAME = {row.rpc: row for row in ROWS}


def test_a_row_calls_what_it_names_and_nothing_else() -> None:
    fake = FakeRooms()
    row = BY_NAME["get_me"]
    assert row.procedures == {"accounts.get_me", "projects.get_selected_project"}
    rooms = NamedRooms(fake, row.procedures)
    rooms.call("accounts", "get_me", Call(), {})
    rooms.call("projects", "get_selected_project", Call(), {})
    with pytest.raises(LookupError, match=r"projects\.get_project"):
        rooms.call("projects", "get_project", Call(), {})
    assert [name for _, name, _, _ in fake.calls] == ["get_me", "get_selected_project"]


def test_the_codes_of_a_composed_row_are_those_of_all_that_it_calls() -> None:
    """`projects.not_empty` is devices' refusal to archive, and projects' row tells it."""
    row = BY_NAME["update_project"]
    assert row.compose is compose.update_project
    assert "projects.not_empty" in codes_of(row)
    assert "projects.not_found" in codes_of(BY_NAME["create_api_token"])
