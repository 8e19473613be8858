"""Fixtures of accounts' tests: a database built by the migrations, cheap hashing, and a world of people in it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
import sqlalchemy as sa

from services.accounts.api import requests
from services.accounts.commands import companies, exchanges, invitations, registration, sessions
from services.accounts.kit import Argon2Hasher, Kit
from services.accounts.models import Mail
from services.accounts.queries.sessions import list_revocations
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.data.tables import outbox
from services.chassis.data.testing import make_database
from services.chassis.ids import new_id
from services.chassis.wrong_fields import load_request

PASSWORD = "correct horse battery"


@pytest.fixture
def database(database_uri: str, tmp_path: Path) -> Iterator[Database]:
    """Give accounts' database, once on each kind of server."""
    database = make_database("accounts", database_uri, tmp_path)
    yield database
    database.close()


@pytest.fixture
def kit(database: Database) -> Kit:
    """Give keys and a hasher that is quick, for tests only."""
    assert database.keystore is not None
    return Kit(Argon2Hasher(memory_kib=64), database.keystore)


class World:
    """Does what people do, by the same commands and schemas as the service."""

    def __init__(self, database: Database, kit: Kit) -> None:
        self.database = database
        self.kit = kit

    def do(self, command: Any, schema: Any, call: Any = None, *, again: Any = False, **values: Any) -> Any:
        """Run a command with a request loaded by its schema, under a new command id unless it is done again."""
        request = load_request(schema(), values)
        call = call or Call()
        if not again:
            call = replace(call, command_id=new_id())
        given = {"database": self.database, "call": call, "request": request, "kit": self.kit}
        return command(**{name: given[name] for name in inspect.signature(command).parameters})

    def register(self, email: str, *, language: str = "en", **changes: Any) -> None:
        """Send the registration form."""
        values = {
            "email": email,
            "password": PASSWORD,
            "forename": "Ada",
            "surname": "Lovelace",
            "language": language,
            "accept_terms": True,
            **changes,
        }
        self.do(registration.register, requests.RegisterRequest, **values)

    def mails(self, template: str | None = None, *, newest: int | None = None) -> list[dict[str, Any]]:
        """Return the waiting mails, oldest first, unsealed: all, or of a kind, or so many of the newest."""
        waiting = sa.select(*Mail.__table__.c).where(Mail.sent_at.is_(None)).order_by(Mail.id.desc()).limit(newest)
        with self.database.engine.connect() as connection:
            rows = connection.execute(waiting.where(Mail.template == template) if template else waiting).all()
        found = []
        for row in reversed(rows):
            assert row.sealed is not None
            content = json.loads(self.kit.keys.unseal(row.sealed, f"mails:{row.id}"))
            found.append({"template": row.template, "language": row.language, **content})
        return found

    def last_token(self, template: str) -> str:
        """Return the link token of the newest waiting mail of a kind."""
        return str(self.mails(template, newest=1)[-1]["values"]["token"])

    def activate(self, email: str, **changes: Any) -> None:
        """Register and use the link."""
        self.register(email, **changes)
        schema = requests.ConfirmRegistrationRequest
        self.do(registration.confirm_registration, schema, token=self.last_token("activation"))

    def login(self, email: str, password: str = PASSWORD, **values: Any) -> dict[str, Any]:
        """Log in and return the answer."""
        answer: dict[str, Any] = self.do(
            sessions.create_session, requests.CreateSessionRequest, email=email, password=password, **values
        )
        return answer

    def call_of(self, answer: Mapping[str, Any], *, command_id: str | None = None) -> Call:
        """Return a call with the access token of an answer, its claims verified with the public keys."""
        return Call(
            claims=claims_of(self.kit, answer["access_token"]),
            token=answer["access_token"],
            command_id=command_id or new_id(),
        )

    def renew(self, call: Call, **values: Any) -> dict[str, Any]:
        """Return a fresh access token for a call's session."""
        answer: dict[str, Any] = self.do(exchanges.renew_token, requests.RenewTokenRequest, call, **values)
        return answer

    def member(self, email: str) -> Call:
        """Return a call by a new, logged-in user without a company."""
        self.activate(email)
        return self.call_of(self.login(email))

    def admin(self, email: str, company: str = "Acme") -> Call:
        """Return a call by the first user of a new company, by a token that names it."""
        call = self.member(email)
        self.do(companies.create_company, requests.CreateCompanyRequest, call, name=company)
        return self.call_of(self.renew(call))

    def join(self, admin: Call, email: str) -> str:
        """Let an account be invited to the admin's company and say yes; returns the user's id."""
        self.do(invitations.add_company_user, requests.AddCompanyUserRequest, admin, email=email)
        token = self.last_token("invitation")
        call = self.call_of(self.login(email))
        self.do(invitations.accept_invitation, requests.AcceptInvitationRequest, call, token=token)
        return str(call.claims["sub"])

    def revocations(self, since: datetime | None = None) -> list[dict[str, Any]]:
        """Return what the gateways are told not to believe any more."""
        values = {"since": since.isoformat()} if since else {}
        items: list[dict[str, Any]] = self.do(list_revocations, requests.ListRevocationsRequest, **values)["items"]
        return items

    def events(self) -> list[dict[str, Any]]:
        """Return all events of the outbox, oldest first."""
        with self.database.engine.connect() as connection:
            rows = connection.execute(sa.select(outbox.c.event).order_by(outbox.c.id)).scalars()
            return [json.loads(row) for row in rows]

    def types(self) -> list[str]:
        """Return the types of all events, oldest first."""
        return [event["type"] for event in self.events()]


def claims_of(kit: Kit, token: str) -> dict[str, Any]:
    """Return the claims of an access token, checked with the public key that it names."""
    kid = jwt.get_unverified_header(token)["kid"]
    jwk = next(key for key in kit.public_keys() if key["kid"] == kid)
    key = jwt.PyJWK.from_dict(jwk, algorithm="EdDSA").key
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=["EdDSA"], audience="tessera", issuer="accounts")
    return claims


@pytest.fixture
def world(database: Database, kit: Kit) -> World:
    """Give a world without people."""
    return World(database, kit)
