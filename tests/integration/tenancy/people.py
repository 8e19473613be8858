"""People of the tenant matrix: registered and logged in over HTTP, and tokens that only a stolen key could make."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import jwt
import sqlalchemy as sa
from cryptography.hazmat.primitives import serialization

from tests.integration.http_client import Person, mailed_token
from tests.integration.installation import Installation

PASSWORD: Final = "correct horse battery staple"


def register(installation: Installation, forename: str, surname: str) -> Person:
    """Return a new user, logged in, without a company; the address is made from the name and stays theirs alone."""
    person = installation.person()
    address = f"{forename}.{surname}.{uuid.uuid4().hex[:10]}@tenants.example".lower()
    person.post(
        "/v1/registrations",
        {
            "email": address, "password": PASSWORD, "forename": forename, "surname": surname, "language": "en",
            "accept_terms": True,
        },
    ).expect(202)  # fmt: skip
    token = mailed_token(installation.mail_folder, address, "activate")
    person.post("/v1/registrations/confirmations", {"token": token}).expect(204)
    return person.login(address, PASSWORD)


def found(installation: Installation, forename: str, surname: str, company: str) -> Person:
    """Return a new user who has just founded a company, logged in as its administrator."""
    person = register(installation, forename, surname)
    person.post("/v1/companies", {"name": company}).expect(201)
    return person.refresh()


def join(admin: Person, person: Person) -> Person:
    """Make somebody without a company a member of the administrator's, and let their session know."""
    admin.post("/v1/company/users", {"email": person.tokens["user"]["email"]}).expect(201)
    return person.accept_invitations()


def claims_of(token: str) -> dict[str, Any]:
    """Return what an access token says, unverified."""
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def age_login(installation: Installation, person: Person, minutes: int) -> Person:
    """Set the time back at which somebody logged in, in the database, and let them have the tokens of it."""
    written = installation.folder / "environment.json"
    uri = f"sqlite:///{installation.folder}/accounts.sqlite3"
    if written.exists():
        uri = json.loads(written.read_text())["TESSERA_DATABASE_URI"].replace("{service}", "accounts")
    engine = sa.create_engine(uri)
    at = datetime.now(UTC) - timedelta(minutes=minutes)
    table = sa.table("sessions", sa.column("id", sa.String), sa.column("authenticated_at", sa.DateTime(timezone=True)))
    session_id = claims_of(person.tokens["access_token"])["sid"]
    with engine.begin() as connection:
        moment = at.replace(tzinfo=None) if engine.dialect.name == "sqlite" else at
        changed = connection.execute(
            sa.update(table).where(table.c.id == session_id).values(authenticated_at=moment)
        ).rowcount
    engine.dispose()
    assert changed == 1
    person.password = ""
    return person.refresh()


class StolenKey:
    """The signing key of accounts, read from the installation's folder as nobody else can.

    With it an expired token can be had without waiting for 15 minutes, and a token that is right but for one claim.

    Args:
        folder: the installation's data folder.
    """

    def __init__(self, folder: Path) -> None:
        keys = folder / "keys"
        # Another journey may have rotated it: the oldest that nobody revoked is known to every process.
        records = [json.loads(path.read_text()) for path in (keys / "accounts").glob("tokens.*.json")]
        good = [record for record in records if not record.get("revoked_at")]
        record = min(good, key=lambda record: str(record.get("active_from", record["created_at"])))
        passphrase = (keys / "passphrase").read_bytes().strip()
        self.kid: str = record["kid"]
        self.private = serialization.load_pem_private_key(record["private"].encode(), passphrase)

    def sign(self, claims: Mapping[str, Any], **headers: Any) -> str:
        """Return an access token with these claims, in the form that accounts gives it."""
        return forge(claims, self.private, self.kid, **headers)


def forge(claims: Mapping[str, Any], private: Any, kid: str, **headers: Any) -> str:
    """Return a token in the form of an access token, signed with any key."""
    return jwt.encode(dict(claims), private, algorithm="EdDSA", headers={"kid": kid, "typ": "at+jwt", **headers})
