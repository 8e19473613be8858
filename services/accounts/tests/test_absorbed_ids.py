"""After an import nothing is ever written under the absorbed id: by no old token, and by nobody whom it overtook.

Issue 6.4: "absorbed ids are never written after an import". Each way in which accounts writes is tried with a login of
the company that is gone, once behind the import and, on PostgreSQL, once on either side of it at the same time.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import eventlet
import pytest
import sqlalchemy as sa
from eventlet.greenpool import GreenPool

from services.accounts import otp
from services.accounts.api import Actor, requests
from services.accounts.audit import check_imports
from services.accounts.commands import (
    api_tokens,
    company_imports,
    company_users,
    confirmations,
    email_changes,
    erasure,
    exchanges,
    invitations,
    me,
    registration,
    second_factor,
    sessions,
)
from services.accounts.commands.companies import create_company, update_company
from services.accounts.kit import Argon2Hasher, Kit
from services.accounts.models import Base, CompanyImport, Revocation, Session
from services.accounts.tests.conftest import PASSWORD, World
from services.accounts.tests.test_company_imports import second_factor_of
from services.chassis.context import Call
from services.chassis.data.tables import outbox
from services.chassis.data.testing import make_database
from services.chassis.errors import ServiceError
from services.chassis.faults import set_fail_points
from services.chassis.fields import EmptyRequest
from services.chassis.ids import new_id

NEW_PASSWORD = "another horse battery"


class Gone:
    """A company that is about to be absorbed, with an administrator and a member who have each a token and a link."""

    def __init__(self, world: World) -> None:
        self.world, self.mark = world, new_id()[-8:]
        self.ours = world.admin(self.email("ada"), "Ours")
        self.boss = world.admin(self.email("otto"), "Other")
        world.activate(self.email("mia"))
        world.join(self.boss, self.email("mia"))
        self.login = world.login(self.email("mia"))
        self.member = world.call_of(self.login)
        self.gone_id = str(Actor.of(self.boss).company_id)

    def email(self, name: str) -> str:
        return f"{name}.{self.mark}@example.org"

    def do(self, command: Any, schema: Any, call: Call | None = None, **values: Any) -> Any:
        """Run a command; a refusal, also one that asks for a repetition, is an answer."""
        try:
            return self.world.do(command, schema, call, **values)
        except ServiceError as refusal:
            return refusal

    def absorb(self) -> str:
        """Import the company into ours; returns the state of the import or the code of the refusal."""
        values = {"email": self.email("otto"), "password": PASSWORD}
        answer = self.do(company_imports.import_company, requests.ImportCompanyRequest, self.ours, **values)
        return answer.code if isinstance(answer, ServiceError) else str(answer["state"])

    def written(self) -> list[str]:
        """Return every row and event that stands under the company's id, though it is gone."""
        found = []
        with self.world.database.engine.connect() as connection:
            for table in Base.metadata.sorted_tables:
                for name in ("company_id", "last_company_id"):
                    if name not in table.c or table is CompanyImport.__table__:
                        continue
                    statement = sa.select(sa.func.count()).where(table.c[name] == self.gone_id)
                    if table is Revocation.__table__:
                        # What gateways were told of its tokens while it was there stays.
                        since = sa.select(CompanyImport.started_at).where(CompanyImport.gone_id == self.gone_id)
                        statement = statement.where(Revocation.at > since.scalar_subquery())
                    if table is Session.__table__:
                        statement = statement.where(Session.ended_at.is_(None))
                    if count := connection.execute(statement).scalar_one():
                        found.append(f"{count} rows of {table.name}")
            rows = connection.execute(sa.select(outbox.c.event).order_by(outbox.c.emission)).scalars().all()
        events = [json.loads(row) for row in rows]
        merged = [n for n, event in enumerate(events) if event.get("subject") == self.gone_id]
        merged = [n for n in merged if events[n]["type"] == "company_merged"]
        if merged:
            later = [event["type"] for event in events[merged[-1] + 1 :] if event.get("companyid") == self.gone_id]
            found += [f"the event {name}" for name in later]
        return found


def _email_change(gone: Gone) -> Any:
    values = {"email": gone.email("new"), "password": PASSWORD}
    return gone.do(email_changes.change_email, requests.ChangeEmailRequest, gone.member, **values)


@dataclass(frozen=True)
class Way:
    """One way in which accounts writes.

    Args:
        act: does it with the old logins.
        prepare: what has to be there before the import; its result is handed to `act`.
    """

    act: Callable[[Gone, Any], Any]
    prepare: Callable[[Gone], Any] = lambda _: None


def _token(gone: Gone) -> str:
    values = {"name": "box", "scopes": ["read"]}
    return str(gone.world.do(api_tokens.create_api_token, requests.CreateApiTokenRequest, gone.member, **values)["id"])


def _invited(gone: Gone) -> tuple[Call, str, str]:
    call = gone.world.member(gone.email("guest"))
    values = {"email": gone.email("guest")}
    made = gone.world.do(invitations.add_company_user, requests.AddCompanyUserRequest, gone.boss, **values)
    return call, str(made["id"]), gone.world.last_token("invitation")


def _email_link(gone: Gone) -> str:
    _email_change(gone)
    return gone.world.last_token("email_change")


def _undo(gone: Gone) -> str:
    values = {"token": _email_link(gone)}
    gone.world.do(email_changes.confirm_email, requests.ConfirmEmailRequest, gone.member, **values)
    return gone.world.last_token("email_changed")


def _reset(gone: Gone) -> str:
    gone.world.do(registration.request_password_reset, requests.EmailRequest, email=gone.email("mia"))
    return gone.world.last_token("password_reset")


def _otp(gone: Gone) -> str:
    text = gone.world.do(second_factor.create_otp, EmptyRequest, gone.member)["secret"]
    return str(text)


def _confirm_otp(gone: Gone, text: str) -> Any:
    secret = base64.b32decode(text + "=" * (-len(text) % 8))
    code = otp.code_at(secret, otp.step_of(datetime.now(UTC)))
    return gone.do(second_factor.confirm_otp, requests.OtpRequest, gone.member, otp=code)


def _user(gone: Gone) -> str:
    return Actor.of(gone.member).user_id


_password = {"old_password": PASSWORD, "password": NEW_PASSWORD}
WAYS: dict[str, Way] = {
    "a token is made": Way(
        lambda gone, _: gone.do(
            api_tokens.create_api_token, requests.CreateApiTokenRequest, gone.member, name="t", scopes=["read"]
        )
    ),
    "a token is deleted": Way(
        lambda gone, token: gone.do(api_tokens.delete_api_token, requests.TokenIdRequest, gone.member, token_id=token),
        _token,
    ),
    "a token is exchanged by a device": Way(
        lambda gone, _: gone.do(exchanges.renew_token, requests.RenewTokenRequest, gone.member)
    ),
    "a login": Way(
        lambda gone, _: gone.do(
            sessions.create_session, requests.CreateSessionRequest, email=gone.email("mia"), password=PASSWORD
        )
    ),
    "a login to the company": Way(
        lambda gone, _: gone.do(
            sessions.create_session,
            requests.CreateSessionRequest,
            email=gone.email("mia"),
            password=PASSWORD,
            company_id=gone.gone_id,
        )
    ),
    "a wrong login": Way(
        lambda gone, _: gone.do(
            sessions.create_session, requests.CreateSessionRequest, email=gone.email("mia"), password="wrong"
        )
    ),
    "a refresh": Way(
        lambda gone, _: gone.do(
            sessions.refresh_session, requests.RefreshSessionRequest, refresh_token=gone.login["refresh_token"]
        )
    ),
    "a logout": Way(
        lambda gone, _: gone.do(sessions.delete_session, requests.SessionRequest, gone.member, session_id="current")
    ),
    "a confirmation": Way(
        lambda gone, _: gone.do(
            confirmations.confirm_session, requests.ConfirmSessionRequest, gone.member, password=PASSWORD
        )
    ),
    "one's own data": Way(
        lambda gone, _: gone.do(me.update_me, requests.UpdateMeRequest, gone.member, forename="Maria")
    ),
    "a password": Way(
        lambda gone, _: gone.do(me.change_password, requests.ChangePasswordRequest, gone.member, **_password), _token
    ),
    "a reset": Way(
        lambda gone, token: gone.do(
            registration.confirm_password_reset,
            requests.ConfirmPasswordResetRequest,
            token=token,
            password=NEW_PASSWORD,
        ),
        lambda gone: (_token(gone), _reset(gone))[1],
    ),
    "an address is asked for": Way(lambda gone, _: _email_change(gone)),
    "an address is confirmed": Way(
        lambda gone, token: gone.do(
            email_changes.confirm_email, requests.ConfirmEmailRequest, gone.member, token=token
        ),
        _email_link,
    ),
    "an address is taken back": Way(
        lambda gone, token: gone.do(email_changes.undo_email_change, requests.ConfirmRequest, token=token), _undo
    ),
    "a second factor is asked for": Way(lambda gone, _: gone.do(second_factor.create_otp, EmptyRequest, gone.member)),
    "a second factor": Way(_confirm_otp, _otp),
    "no second factor": Way(
        lambda gone, _: gone.do(second_factor.delete_otp, EmptyRequest, gone.member),
        lambda gone: second_factor_of(gone.world, gone.member),
    ),
    "a new company": Way(
        lambda gone, _: gone.do(create_company, requests.CreateCompanyRequest, gone.member, name="Mine")
    ),
    "a name of the company": Way(
        lambda gone, _: gone.do(update_company, requests.UpdateCompanyRequest, gone.boss, name="Renamed")
    ),
    "notices of the company": Way(
        lambda gone, _: gone.do(update_company, requests.UpdateCompanyRequest, gone.boss, device_notices=False)
    ),
    "an invitation": Way(
        lambda gone, _: gone.do(
            invitations.add_company_user, requests.AddCompanyUserRequest, gone.boss, email=gone.email("else")
        )
    ),
    "an invitation is accepted": Way(
        lambda gone, made: gone.do(
            invitations.accept_my_invitation, requests.InvitationRequest, made[0], invitation_id=made[1]
        ),
        _invited,
    ),
    "an invitation is accepted by its mail": Way(
        lambda gone, made: gone.do(
            invitations.accept_invitation, requests.AcceptInvitationRequest, made[0], token=made[2]
        ),
        _invited,
    ),
    "an invitation is declined": Way(
        lambda gone, made: gone.do(
            invitations.decline_invitation, requests.InvitationRequest, made[0], invitation_id=made[1]
        ),
        _invited,
    ),
    "an invitation is withdrawn": Way(
        lambda gone, made: gone.do(
            company_users.remove_company_user, requests.CompanyUserRequest, gone.boss, user_id=made[1]
        ),
        _invited,
    ),
    "a role": Way(
        lambda gone, _: gone.do(
            company_users.update_company_user,
            requests.UpdateCompanyUserRequest,
            gone.boss,
            user_id=_user(gone),
            role="admin",
        )
    ),
    "a lock": Way(
        lambda gone, _: gone.do(
            company_users.update_company_user,
            requests.UpdateCompanyUserRequest,
            gone.boss,
            user_id=_user(gone),
            locked=True,
        )
    ),
    "a removal": Way(
        lambda gone, _: gone.do(
            company_users.remove_company_user, requests.CompanyUserRequest, gone.boss, user_id=_user(gone)
        )
    ),
    "an erasure": Way(
        lambda gone, _: gone.do(erasure.erase_me, requests.PasswordRequest, gone.member, password=PASSWORD)
    ),
}


@pytest.fixture(autouse=True)
def _no_fail_points() -> Iterator[None]:
    yield
    set_fail_points("")


def flaws(world: World) -> list[str]:
    checks = world.database.read(check_imports, snapshot=True)
    return [flaw for check in checks for flaw in check.flaws if not check.passing]


@pytest.fixture
def racing(postgresql_uri: str, tmp_path: Path) -> Iterator[World]:
    """Give a world on PostgreSQL: SQLite has one writer."""
    database = make_database("accounts", postgresql_uri, tmp_path)
    assert database.keystore is not None
    yield World(database, Kit(Argon2Hasher(memory_kib=64), database.keystore))
    database.close()


def test_no_old_login_writes_under_the_absorbed_id(world: World) -> None:
    found = {}
    for name, way in WAYS.items():
        gone = Gone(world)
        made = way.prepare(gone)
        assert gone.absorb() == "running", name
        assert gone.written() == [], name
        way.act(gone, made)
        if written := gone.written():
            found[name] = written
    assert found == {}
    assert flaws(world) == []


@pytest.mark.long
@pytest.mark.parametrize("first", ["the import", "the other"])
def test_nobody_whom_the_import_overtakes_writes_under_the_absorbed_id(racing: World, first: str) -> None:
    found, imported = {}, 0
    for name, way in WAYS.items():
        gone = Gone(racing)
        made = way.prepare(gone)
        works = [gone.absorb, lambda way=way, gone=gone, made=made: way.act(gone, made)]  # type: ignore[misc]
        # Whoever is first stands before its commit while the other one begins.
        set_fail_points(
            "accounts.import.in_switch=sleep:0.4" if first == "the import" else "db.before_commit=sleep:0.2"
        )
        pool = GreenPool()
        begun = pool.spawn(works[0 if first == "the import" else 1])
        eventlet.sleep(0.15)
        second = pool.spawn(works[1 if first == "the import" else 0])
        pool.waitall()
        set_fail_points("")
        outcome = (begun if first == "the import" else second).wait()
        # Whoever was refused because of the other tries again, as a client would.
        imported += (outcome if outcome == "running" else gone.absorb()) == "running"
        if written := gone.written():
            found[name] = written
    assert found == {}
    assert imported >= len(WAYS) - 3
    assert flaws(racing) == []
