"""Sessions: company choice, refresh and its theft, throttles, device door, list and revoke."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from eventlet.greenpool import GreenPool

from services.accounts.api import Actor, answers, requests
from services.accounts.audit.people import check_people
from services.accounts.commands import companies, exchanges, sessions
from services.accounts.models import RefreshToken, Session, ThrottleRow
from services.accounts.queries.sessions import list_sessions
from services.accounts.store.housekeeping import sweep
from services.accounts.tests.conftest import PASSWORD, World, claims_of
from services.accounts.tests.test_story import refused
from services.chassis.errors import ServiceError
from services.chassis.ids import new_id


def refresh(world: World, token: str, **values: Any) -> dict[str, Any]:
    """Use a refresh token."""
    answer: dict[str, Any] = world.do(
        sessions.refresh_session, requests.RefreshSessionRequest, refresh_token=token, **values
    )
    return answer


def test_each_refresh_gives_a_new_token_and_a_lost_answer_can_be_asked_again(world: World) -> None:
    """Issue 6.2: two uses of a refresh token left two living chains."""
    world.activate("ada@example.org")
    first = world.login("ada@example.org")
    second = refresh(world, first["refresh_token"])
    again = refresh(world, first["refresh_token"])
    assert first["refresh_token"] != second["refresh_token"] == again["refresh_token"]
    assert again["access_token"]
    third = refresh(world, second["refresh_token"])
    # Also once the successor was used: a thief with an old token never has a chain of his own.
    assert refresh(world, first["refresh_token"])["refresh_token"] == second["refresh_token"]
    assert refresh(world, third["refresh_token"])["user"] == first["user"]
    assert chains(world) == 1


def chains(world: World) -> int:
    """Return the number of refresh tokens that were not used."""
    with world.database.engine.connect() as connection:
        unused = sa.select(sa.func.count()).select_from(RefreshToken).where(RefreshToken.used_at.is_(None))
        return int(connection.execute(unused).scalar_one())


def test_parallel_refreshes_lead_to_one_chain(world: World) -> None:
    """Issue 6.2: two uses of a refresh token left two living chains."""
    world.activate("ada@example.org")
    token = world.login("ada@example.org")["refresh_token"]
    for _ in range(8):
        found = list(GreenPool(6).imap(lambda one: refresh(world, one)["refresh_token"], [token] * 6))
        assert len(set(found)) == 1
        assert chains(world) == 1
        token = found[0]
    checks = world.database.read(lambda connection: check_people(connection, world.kit.keys), snapshot=True)
    assert [flaw for check in checks for flaw in check.flaws] == []


def test_a_successor_is_sealed_and_forgotten(world: World) -> None:
    world.activate("ada@example.org")
    first = world.login("ada@example.org")
    second = refresh(world, first["refresh_token"])["refresh_token"]
    with world.database.engine.begin() as connection:
        (sealed,) = connection.scalars(sa.select(RefreshToken.successor).where(RefreshToken.successor.is_not(None)))
        assert second.encode() not in bytes(sealed or b"")
        old = datetime.now(UTC) - timedelta(seconds=11)
        connection.execute(sa.update(RefreshToken).where(RefreshToken.used_at.is_not(None)).values(used_at=old))
    world.database.write(sweep)
    with world.database.engine.begin() as connection:
        assert set(connection.scalars(sa.select(RefreshToken.successor))) == {None}
    with refused("accounts.refresh_reused"):
        refresh(world, first["refresh_token"])


def test_an_old_refresh_token_that_comes_back_ends_the_session(world: World) -> None:
    world.activate("ada@example.org")
    first = world.login("ada@example.org")
    second = refresh(world, first["refresh_token"])
    with world.database.engine.begin() as connection:
        connection.execute(
            sa.update(RefreshToken)
            .where(RefreshToken.used_at.is_not(None))
            .values(used_at=datetime.now(UTC) - timedelta(minutes=1))
        )
    with refused("accounts.refresh_reused"):
        refresh(world, first["refresh_token"])
    for token in (first["refresh_token"], second["refresh_token"], "unknown"):
        with refused("accounts.refresh_invalid"):
            refresh(world, token)
    event = world.events()[-1]
    assert (event["type"], event["data"]["reason"]) == ("session_revoked", "refresh_reused")
    assert world.revocations()[0]["kind"] == "session"


def test_a_refused_refresh_does_not_use_the_token_up(world: World) -> None:
    world.activate("ada@example.org")
    token = world.login("ada@example.org")["refresh_token"]
    with refused("accounts.company_not_found"):
        refresh(world, token, company_id=new_id())
    with world.database.engine.begin() as connection:
        used = connection.scalars(sa.select(RefreshToken.used_at)).all()
    assert used == [None]
    assert refresh(world, token)["access_token"]


def test_an_idle_session_ends(world: World) -> None:
    world.activate("ada@example.org")
    token = world.login("ada@example.org")["refresh_token"]
    with world.database.engine.begin() as connection:
        connection.execute(sa.update(RefreshToken).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    with refused("accounts.refresh_invalid"):
        refresh(world, token)


def test_sessions_are_listed_and_ended_and_nobody_ends_those_of_others(world: World) -> None:
    world.activate("ada@example.org")
    world.activate("eve@example.org")
    one, two = world.login("ada@example.org", user_agent="Firefox"), world.login("ada@example.org")
    call, eve = world.call_of(two), world.call_of(world.login("eve@example.org"))
    listed = list_sessions(world.database, call, {"limit": 50, "cursor": None})
    assert answers.SessionList().validate(listed) == {}
    assert [(item["current"], item["user_agent"]) for item in listed["items"]] == [(True, None), (False, "Firefox")]
    other = listed["items"][1]["id"]
    for session_id in (other, "00000000-0000-7000-8000-000000000000"):
        with refused("accounts.session_not_found"):
            world.do(sessions.delete_session, requests.SessionRequest, eve, session_id=session_id)
    world.do(sessions.delete_session, requests.SessionRequest, call, session_id=other)
    with refused("accounts.refresh_invalid"):
        refresh(world, one["refresh_token"])
    world.do(sessions.delete_session, requests.SessionRequest, call, session_id="current")
    with refused("accounts.session_ended"):
        world.renew(call)
    assert [item["kind"] for item in world.revocations()] == [
        "session",
        "session",
    ]


def test_a_session_is_in_the_company_asked_else_the_last_used(world: World) -> None:
    call = world.admin("ada@example.org", "First")
    first = Actor.of(call).company_id
    second = world.do(companies.create_company, requests.CreateCompanyRequest, call, name="Second")["id"]
    answer = world.login("ada@example.org")
    assert answer["company"]["id"] == second
    assert {company["id"] for company in answer["companies"]} == {first, second}
    switched = refresh(world, answer["refresh_token"], company_id=first)
    assert claims_of(world.kit, switched["access_token"])["company"] == first
    assert world.login("ada@example.org")["company"]["id"] == first
    stranger = "00000000-0000-7000-8000-000000000000"
    with refused("accounts.company_not_found"):
        world.login("ada@example.org", company_id=stranger)
    with refused("accounts.company_not_found"):
        refresh(world, switched["refresh_token"], company_id=stranger)


def test_failures_slow_an_account_down_and_a_known_place_stays_usable(world: World) -> None:
    world.activate("ada@example.org")
    world.login("ada@example.org", client_address="10.0.0.1")
    for email in ("ada@example.org", "nobody@example.org"):
        for _ in range(10):
            with refused("accounts.login_failed"):
                world.login(email, "a wrong password", client_address="10.0.0.2")
        with pytest.raises(ServiceError) as caught:
            world.login(email, PASSWORD, client_address="10.0.0.2")
        assert (caught.value.code, caught.value.status) == ("accounts.too_many_attempts", 429)
        assert 1 <= caught.value.extra["retry_after"] <= 30
    assert world.login("ada@example.org", client_address="10.0.0.1")
    failed = [event for event in world.events() if event["type"] == "login_failed"]
    assert len(failed) == 20


def test_good_logins_do_not_count(world: World) -> None:
    world.activate("ada@example.org")
    for _ in range(12):
        world.login("ada@example.org", client_address="10.0.0.1")
    with world.database.engine.connect() as connection:
        assert set(connection.execute(sa.select(ThrottleRow.failures)).scalars()) <= {0, 1}


def test_the_device_door_gets_a_short_token_that_only_reads(world: World) -> None:
    call = world.admin("ada@example.org")
    answer = world.do(
        exchanges.create_device_session, requests.CreateDeviceSessionRequest, login="ada@example.org", password=PASSWORD
    )
    assert answers.AccessToken().validate(answer) == {}
    claims = claims_of(world.kit, answer["access_token"])
    assert (claims["scopes"], claims["company"]) == (["read", "device"], Actor.of(call).company_id)
    for wrong in ({"login": "ada@example.org", "password": "nonsense"}, {"login": "x", "password": PASSWORD}):
        with refused("accounts.login_failed"):
            world.do(exchanges.create_device_session, requests.CreateDeviceSessionRequest, **wrong)


def test_an_ended_session_stays_in_the_table_for_the_audit(world: World) -> None:
    world.activate("ada@example.org")
    call = world.call_of(world.login("ada@example.org"))
    world.do(sessions.delete_session, requests.SessionRequest, call, session_id="current")
    with world.database.engine.connect() as connection:
        assert connection.execute(sa.select(Session.end_reason)).scalar_one() == "logout"
