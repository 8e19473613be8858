"""From the form to the working account (ACC-1, ACC-2), and forgotten passwords.

Known and unknown addresses get the same answer after the same work; only the mail tells the owner the difference (S2).
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from services.accounts import api
from services.accounts.commands.api_tokens import end_api_tokens
from services.accounts.commands.attempts import address_key, count_mail, place_of, too_many
from services.accounts.commands.email_changes import end_links
from services.accounts.commands.proving import check_password_choice, link_invalid
from services.accounts.commands.telling import emit_for_user, end_other_sessions
from services.accounts.domain import (
    ACTIVATION,
    ACTIVATION_LIFE,
    ADDRESS_LIMIT,
    MAIL_LIMIT,
    PASSWORD_RESET,
    RESET_LIFE,
    new_secret,
    normalized_email,
)
from services.accounts.kit import Kit
from services.accounts.store import mails, people, throttles
from services.accounts.store.people import NewPerson, StoredRegistration
from services.chassis.answers import Answer
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import conflict, invalid
from services.chassis.fields import EmptyAnswer, Loaded
from services.chassis.ids import new_id
from services.chassis.service.declare import command
from services.chassis.service.running import run


@command(
    request=api.RegisterRequest,
    answer=EmptyAnswer,
    raises=("accounts.terms_not_accepted", "accounts.password_too_common", "accounts.too_many_attempts"),
    emits=("user_registered", "registration_repeated"),
    callers=("gateway",),
)
def register(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> Answer:
    """Take a registration and send its link, or tell the owner of a known address by mail."""
    if not request["accept_terms"]:
        raise invalid("accounts.terms_not_accepted", "Accept the terms of use: send `accept_terms` as true.")
    check_password_choice(request["password"], request["email"], request["forename"], request["surname"])
    # Counted before anything is hashed (S24).
    database.write(lambda unit: _count_address(unit, request, "registration"), call=call)
    password_hash = kit.hasher.hash(request["password"])
    normalized = normalized_email(request["email"])

    def work(unit: Unit) -> None:
        known = people.by_email(unit.connection, normalized)
        may_send = count_mail(unit, f"registration:{normalized}", MAIL_LIMIT)
        identifier, secret = new_id(), new_secret()
        # The same rows are written for a known address; nobody ever gets the secret of that link.
        people.add_registration(
            unit,
            StoredRegistration(
                id=identifier,
                email=request["email"],
                email_normalized=normalized,
                password_hash=password_hash,
                forename=request["forename"],
                surname=request["surname"],
                language=request["language"],
                vendor_customer_number=request["vendor_customer_number"],
                created_at=unit.now,
                expires_at=unit.now if known else unit.now + ACTIVATION_LIFE,
            ),
        )
        mails.add_link(unit, ACTIVATION, secret, identifier, ACTIVATION_LIFE)
        if known:
            unit.emit("registration_repeated", subject=known.id, data={"user_id": known.id}, actor_id=None)
        else:
            unit.emit("user_registered", subject=identifier, data={"user_id": identifier}, actor_id=identifier)
        template = "already_registered" if known else "activation"
        language = known.language if known else request["language"]
        mails.queue(unit, kit.keys, template, language, request["email"], {"token": secret}, deliver=may_send)

    return run(database, call, _without_secrets(request, kit), work)


@command(
    request=api.ConfirmRegistrationRequest,
    raises=("accounts.link_invalid", "accounts.password_needed", "accounts.password_too_common"),
    emits=("user_activated",),
    callers=("gateway",),
)
def confirm_registration(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> Answer:
    """Make the account of a registration work, with exactly the data that its link was mailed for.

    Where several registrations of the address were open, one may be a stranger's, and the mail does not tell whose:
    none of their passwords counts, and the owner of the mailbox chooses one. The link stays good until then.
    """
    password = request["password"]
    found = database.read(lambda connection: _registered(connection, request["token"], datetime.now(UTC)))
    password_hash = None
    # Nothing is hashed for a link that is only guessed.
    if password is not None and found is not None:
        check_password_choice(password, found.email, found.forename, found.surname)
        password_hash = kit.hasher.hash(password)

    def work(unit: Unit) -> None:
        row = _registered(unit.connection, request["token"], unit.now)
        if row is None or mails.take_link(unit, ACTIVATION, request["token"]) is None:
            raise link_invalid()
        if password_hash is None and people.is_contested(unit.connection, row):
            raise conflict(
                "accounts.password_needed",
                "This address was registered more than once: choose the password of the account and send it as "
                "`password` with the token.",
            )
        if not people.add(unit, _person_of(row, password_hash)):
            raise link_invalid()
        people.forget_registrations(unit, row.email_normalized)
        unit.emit("user_activated", subject=row.id, data={"user_id": row.id}, actor_id=row.id)

    return run(database, call, _without_secrets(request, kit), work)


@command(
    request=api.EmailRequest,
    answer=EmptyAnswer,
    raises=("accounts.too_many_attempts",),
    callers=("gateway",),
)
def resend_registration(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> Answer:
    """Send the link of a registration again; the older link works no more."""
    normalized = normalized_email(request["email"])

    def work(unit: Unit) -> None:
        _count_address(unit, request, "resend")
        may_send = count_mail(unit, f"resend:{normalized}", MAIL_LIMIT)
        row = people.newest_registration(unit.connection, normalized, unit.now)
        registration_id = row.id if row is not None else new_id()
        life = row.expires_at - unit.now if row is not None else ACTIVATION_LIFE
        language = row.language if row is not None else "en"
        deliver = row is not None and may_send
        _mail_link(unit, kit, ACTIVATION, registration_id, life, (language, request["email"]), deliver=deliver)

    return run(database, call, _without_secrets(request, kit), work)


@command(
    request=api.EmailRequest,
    answer=EmptyAnswer,
    raises=("accounts.too_many_attempts",),
    emits=("password_reset_requested",),
    callers=("gateway",),
)
def request_password_reset(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> Answer:
    """Send a link with which a new password can be set."""
    normalized = normalized_email(request["email"])

    def work(unit: Unit) -> None:
        _count_address(unit, request, "reset")
        may_send = count_mail(unit, f"reset:{normalized}", MAIL_LIMIT)
        user = people.by_email(unit.connection, normalized)
        user_id = user.id if user is not None else new_id()
        recipient = (user.language, user.email) if user is not None else ("en", request["email"])
        deliver = user is not None and may_send
        _mail_link(unit, kit, PASSWORD_RESET, user_id, RESET_LIFE, recipient, deliver=deliver)
        unit.emit(
            "password_reset_requested",
            subject=user.id if user is not None else "unknown",
            data={"user_id": user.id if user is not None else None},
        )

    return run(database, call, _without_secrets(request, kit), work)


@command(
    request=api.ConfirmPasswordResetRequest,
    raises=("accounts.link_invalid", "accounts.password_too_common"),
    emits=("password_changed", "session_revoked", "api_token_revoked"),
    callers=("gateway",),
)
def confirm_password_reset(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> Answer:
    """Set a new password by the link of a mail and end every session, open link and API token of the account."""
    check_password_choice(request["password"])
    # Nothing is hashed for a link that is only guessed; the tokens are too long to be found by looking (S24).
    found = database.read(
        lambda connection: mails.open_link(connection, PASSWORD_RESET, request["token"], datetime.now(UTC))
    )
    password_hash = kit.hasher.hash(request["password"]) if found is not None else ""

    def work(unit: Unit) -> None:
        link = mails.take_link(unit, PASSWORD_RESET, request["token"]) if password_hash else None
        user = people.locked_by_id(unit, link.subject_id) if link else None
        if user is None:
            raise link_invalid()
        people.change(unit, user.id, password_hash=password_hash)
        end_links(unit, user.id)
        # Whoever proved to be the owner can log in from here, however often strangers fail elsewhere (S3).
        address_hash = place_of(request.get("client_address"))
        throttles.remember_address(unit, user.id, address_hash)
        throttles.clear(unit, throttles.key_of("login", "account", user.email_normalized, address_hash))
        end_other_sessions(unit, user.id, "password")
        end_api_tokens(unit, user.id)
        mails.queue(unit, kit.keys, "password_changed", user.language, user.email, {})
        emit_for_user(unit, "password_changed", user.id, {}, actor_id=user.id)

    return run(database, call, _without_secrets(request, kit), work)


def _mail_link(
    unit: Unit,
    kit: Kit,
    purpose: str,
    subject_id: str,
    life: timedelta,
    recipient: tuple[str, str],
    *,
    deliver: bool,
) -> None:
    """Make a link in place of older ones and mail it, or do the same work for nothing (S2)."""
    secret = new_secret()
    if deliver:
        mails.void_links(unit, purpose, subject_id)
    else:
        mails.void_links(unit, purpose, new_id())
    mails.add_link(unit, purpose, secret, subject_id if deliver else new_id(), life)
    language, email = recipient
    mails.queue(unit, kit.keys, purpose, language, email, {"token": secret}, deliver=deliver)


def _count_address(unit: Unit, request: Mapping[str, Any], kind: str) -> None:
    """Count a form by its kind, so that one kind never eats the budget of another (S24)."""
    wait = throttles.count(unit, address_key(request.get("client_address"), kind), ADDRESS_LIMIT)
    if wait:
        raise too_many(wait)


def _without_secrets(request: Mapping[str, Any], kit: Kit) -> Mapping[str, Any]:
    """Return the request as it is fingerprinted: without a plain hash of a secret, and without where it came from."""
    clean = {name: value for name, value in request.items() if name not in ("client_address", "user_agent")}
    for name in ("password", "token"):
        if clean.get(name) is not None:
            clean[name] = kit.fingerprint(clean[name])
    return request.but(clean) if isinstance(request, Loaded) else clean


def _registered(connection: Connection, token: str, now: datetime) -> StoredRegistration | None:
    """Return the open registration of a link that could be used now."""
    link = mails.open_link(connection, ACTIVATION, token, now)
    row = people.registration(connection, link.subject_id) if link is not None else None
    return row if row is not None and row.expires_at > now else None


def _person_of(row: StoredRegistration, password_hash: str | None) -> NewPerson:
    return NewPerson(
        id=row.id,
        email=row.email,
        email_normalized=row.email_normalized,
        password_hash=row.password_hash if password_hash is None else password_hash,
        forename=row.forename,
        surname=row.surname,
        language=row.language,
        vendor_customer_number=row.vendor_customer_number,
    )
