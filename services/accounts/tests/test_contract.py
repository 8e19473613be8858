"""The fake keeps the promises of the service: the same questions to both, and every schema has an RPC behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from services.accounts.api import AccountsClient, Actor, requests
from services.accounts.commands import lookups
from services.accounts.fake import FakeAccounts
from services.accounts.queries.names import get_names
from services.accounts.tests.conftest import World
from services.chassis.context import Call

UNKNOWN = "00000000-0000-7000-8000-000000000000"


class Real:
    """Asks the queries as the service does."""

    def __init__(self, world: World) -> None:
        self.world = world

    def find_companies_by_email(self, call: Call, *, email: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.world.do(
            lookups.find_companies_by_email, requests.FindCompaniesRequest, call, email=email
        )
        return answer

    def get_names(self, call: Call, *, user_ids: list[str], company_ids: list[str]) -> dict[str, Any]:
        values = {"user_ids": user_ids, "company_ids": company_ids}
        answer: dict[str, Any] = self.world.do(get_names, requests.GetNamesRequest, call, **values)
        return answer


def fake_of(call: Call, _: World) -> AccountsClient:
    """Return a fake with the person of the call in it."""
    actor, fake = Actor.of(call), FakeAccounts()
    assert actor.company_id is not None
    fake.add_company(actor.company_id, "Acme")
    fake.add_user(actor.user_id, "ada@example.org", "Ada Lovelace", actor.company_id)
    return fake


def real_of(_: Call, world: World) -> AccountsClient:
    """Return the service itself."""
    return Real(world)


@pytest.mark.parametrize("make", [fake_of, real_of])
def test_names_and_companies_by_address(world: World, make: Callable[[Call, World], AccountsClient]) -> None:
    call = world.admin("ada@example.org")
    actor = Actor.of(call)
    assert actor.company_id is not None
    client = make(call, world)
    mine = {"companies": [{"id": actor.company_id, "name": "Acme"}]}
    assert client.find_companies_by_email(call, email=" ADA@example.org ") == mine
    assert client.find_companies_by_email(call, email="x@example.org") == {"companies": []}
    names = client.get_names(call, user_ids=[actor.user_id, UNKNOWN], company_ids=[actor.company_id, UNKNOWN])
    assert names == {"users": {actor.user_id: "Ada Lovelace"}, "companies": {actor.company_id: "Acme"}}
