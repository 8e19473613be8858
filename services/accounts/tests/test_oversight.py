"""Issue 6.2: administrators see and end sessions and API tokens of their users, in their company alone (ACC-13)."""

from __future__ import annotations

from typing import Any

import pytest

from services.accounts.api import requests
from services.accounts.commands import api_tokens, exchanges, sessions
from services.accounts.commands import oversight as acts
from services.accounts.queries.oversight import list_user_sessions, list_user_tokens
from services.accounts.tests.conftest import World
from services.accounts.tests.test_story import refused
from services.chassis.context import Call
from services.chassis.ids import new_id


@pytest.fixture
def admin(world: World) -> Call:
    """Give an administrator in whose company bob@example.org is; he has a company of his own too."""
    admin = world.admin("ada@example.org")
    world.admin("bob@example.org", "Bob's")
    world.join(admin, "bob@example.org")
    return admin


def bob(world: World, company_id: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a login of Bob's in a company, and an API token that he made there."""
    answer = world.login("bob@example.org", company_id=company_id)
    schema = requests.CreateApiTokenRequest
    return answer, world.do(api_tokens.create_api_token, schema, world.call_of(answer), name="ERP", scopes=["read"])


def test_what_a_user_has_in_the_company_is_seen_and_ended(world: World, admin: Call) -> None:
    assert admin.claims is not None
    answer, token = bob(world, admin.claims["company"])
    user_id, session_id = answer["user"]["id"], str(world.call_of(answer).claims["sid"])
    seen = world.do(list_user_sessions, requests.ListOfUserRequest, admin, user_id=user_id)["items"]
    assert session_id in [item["id"] for item in seen]
    told = world.do(list_user_tokens, requests.ListOfUserRequest, admin, user_id=user_id)["items"]
    assert [item["id"] for item in told] == [token["id"]]
    assert "token" not in told[0]
    schema = requests.UserSessionRequest
    world.do(acts.end_user_session, schema, admin, user_id=user_id, session_id=session_id)
    with refused("accounts.refresh_invalid"):
        world.do(sessions.refresh_session, requests.RefreshSessionRequest, refresh_token=answer["refresh_token"])
    world.do(acts.delete_user_token, requests.UserTokenRequest, admin, user_id=user_id, token_id=token["id"])
    with refused("token.invalid"):
        world.do(exchanges.exchange_token, requests.ExchangeTokenRequest, token=token["token"])
    assert {session_id, token["id"]} <= {item["id"] for item in world.revocations()}
    assert world.types()[-2:] == ["session_revoked", "api_token_revoked"]
    mailed = [(mail["template"], mail["to"]) for mail in world.mails()][-2:]
    assert mailed == [("session_ended", "bob@example.org"), ("api_token_deleted", "bob@example.org")]
    with refused("accounts.session_not_found"):
        world.do(acts.end_user_session, schema, admin, user_id=user_id, session_id=session_id)


def test_what_a_user_has_elsewhere_is_neither_seen_nor_touched(world: World, admin: Call) -> None:
    answer = world.login("bob@example.org")
    own = next(place["id"] for place in answer["companies"] if place["name"] == "Bob's")
    answer, token = bob(world, own)
    user_id, session_id = answer["user"]["id"], str(world.call_of(answer).claims["sid"])
    seen = world.do(list_user_sessions, requests.ListOfUserRequest, admin, user_id=user_id)["items"]
    assert session_id not in [item["id"] for item in seen]
    assert world.do(list_user_tokens, requests.ListOfUserRequest, admin, user_id=user_id)["items"] == []
    before = world.types()
    for name in (session_id, new_id()):
        with refused("accounts.session_not_found"):
            schema = requests.UserSessionRequest
            world.do(acts.end_user_session, schema, admin, user_id=user_id, session_id=name)
    for name in (token["id"], new_id()):
        with refused("accounts.token_not_found"):
            world.do(acts.delete_user_token, requests.UserTokenRequest, admin, user_id=user_id, token_id=name)
    assert world.types() == before
    world.do(sessions.refresh_session, requests.RefreshSessionRequest, refresh_token=answer["refresh_token"])
    world.do(exchanges.exchange_token, requests.ExchangeTokenRequest, token=token["token"])


def test_members_and_strangers_are_refused(world: World, admin: Call) -> None:
    assert admin.claims is not None
    answer, _ = bob(world, admin.claims["company"])
    with refused("accounts.admin_needed"):
        schema = requests.ListOfUserRequest
        world.do(list_user_tokens, schema, world.call_of(answer), user_id=admin.claims["sub"])
    stranger = world.admin("eve@example.org", "Evil")
    for ask in (list_user_sessions, list_user_tokens):
        with refused("accounts.user_not_found"):
            world.do(ask, requests.ListOfUserRequest, stranger, user_id=admin.claims["sub"])
