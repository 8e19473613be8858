"""Issue 6.2: an API token is bound only to a project that its owner sees; another's answers like an unknown one."""

from __future__ import annotations

import pytest

from gateway.tests.conftest import Gateway
from gateway.tests.test_rows import check_problem
from services.chassis.errors import not_found
from services.chassis.ids import new_id

BODY = {"name": "ERP", "scopes": ["read"]}


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_project_that_is_not_seen_makes_no_token(gateway: Gateway, language: str) -> None:
    gateway.rooms.on("projects", "get_project", not_found("projects.not_found", "There is no such project for you."))
    body = {**BODY, "project_id": new_id()}
    answer = gateway.ask("POST", "/v1/me/tokens", body, headers={"Accept-Language": language})
    check_problem(answer, 404, "projects.not_found")
    assert gateway.rooms.named("create_api_token") == []


def test_one_that_is_seen_is_asked_for_with_the_login_in_hand(gateway: Gateway) -> None:
    gateway.rooms.on("accounts", "create_api_token", {"id": new_id(), "token": "tsk_x"})
    project_id = new_id()
    assert gateway.ask("POST", "/v1/me/tokens", {**BODY, "project_id": project_id}).status == 201
    [(asked, arguments)] = gateway.rooms.named("get_project")
    [(made, _)] = gateway.rooms.named("create_api_token")
    assert (arguments, asked.token) == ({"project_id": project_id}, made.token)
    assert asked.command_id != made.command_id


def test_a_token_of_no_project_asks_no_further_room(gateway: Gateway) -> None:
    gateway.rooms.on("accounts", "create_api_token", {"id": new_id(), "token": "tsk_x"})
    assert gateway.ask("POST", "/v1/me/tokens", BODY).status == 201
    assert [name for _, name, _, _ in gateway.rooms.calls] == ["create_api_token"]
