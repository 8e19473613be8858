"""Known and unknown addresses cost the same work (S2): the same statements and hashing, whatever the clock says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from services.accounts.api import requests
from services.accounts.commands import registration, sessions
from services.accounts.kit import Kit
from services.accounts.tests.conftest import PASSWORD, World
from services.chassis.errors import ServiceError


class CountingHasher:
    """Counts what the real hasher is asked."""

    def __init__(self, kit: Kit) -> None:
        self.inner = kit.hasher
        self.asked: Counter[str] = Counter()

    def hash(self, password: str) -> str:
        self.asked["hash"] += 1
        return self.inner.hash(password)

    def verify(self, stored: str | None, password: str) -> bool:
        self.asked["verify"] += 1
        return self.inner.verify(stored, password)

    def is_outdated(self, stored: str) -> bool:
        return self.inner.is_outdated(stored)


def login(world: World, email: str) -> Any:
    return world.do(sessions.create_session, requests.CreateSessionRequest, email=email, password="a wrong password")


def device(world: World, email: str) -> Any:
    schema = requests.CreateDeviceSessionRequest
    return world.do(sessions.create_device_session, schema, login=email, password="a wrong password")


def register(world: World, email: str) -> Any:
    return world.register(email, password=PASSWORD)


def reset(world: World, email: str) -> Any:
    return world.do(registration.request_password_reset, requests.EmailRequest, email=email)


def resend(world: World, email: str) -> Any:
    return world.do(registration.resend_registration, requests.EmailRequest, email=email)


@pytest.mark.parametrize("act", [login, device, register, reset, resend])
def test_both_kinds_of_address_cost_the_same(world: World, act: Callable[[World, str], Any]) -> None:
    world.activate("ada@example.org")
    world.register("bob@example.org")
    hasher = CountingHasher(world.kit)
    world.kit = replace(world.kit, hasher=hasher)
    costs: list[tuple[int, Counter[str], Any]] = []
    for email in ("bob@example.org" if act is resend else "ada@example.org", "nobody@example.org"):
        hasher.asked.clear()
        statements = 0

        def count(*_: Any) -> None:
            nonlocal statements
            statements += 1

        sa.event.listen(world.database.engine, "before_cursor_execute", count)
        try:
            outcome: Any = act(world, email)
        except ServiceError as error:
            outcome = error.args
        sa.event.remove(world.database.engine, "before_cursor_execute", count)
        costs.append((statements, Counter(hasher.asked), outcome))
    known, unknown = costs
    assert known[1:] == unknown[1:]
    assert known[0] == unknown[0]
