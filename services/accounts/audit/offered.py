"""The part of accounts' audit about what gives an account to whoever holds it: addresses, mailed links, recovery codes.

What a link says is known as a digest only. That it was offered, to whom and until when, was told in its transaction.
"""

from __future__ import annotations

import json
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from services.accounts.domain import PASSWORD_RESET, RESET_LIFE, UNDO_LIFE, normalized_email
from services.accounts.models import EmailUndo, Invitation, Link, RecoveryCode, Registration, User
from services.chassis.data.audit.checks import Check, Flaws, events, stream
from services.chassis.data.audit.sorted import Scratch, merged

_RESETS: Final = ("password_reset_requested", "email_change_undone")
_UNDOS: Final = ("email_change_requested", "email_changed")


def check_offered(connection: Connection) -> list[Check]:
    """Return the checks of addresses, links and recovery codes.

    Args:
        connection: of a snapshot.
    """
    return [_addresses(connection), _links(connection), _codes(connection)]


def _addresses(connection: Connection) -> Check:
    """Every address is looked up as it is written: who is mailed is who logs in, or is invited."""
    flaws, checked = Flaws(), 0
    for table in (User, Invitation, Registration):
        for row in stream(connection, sa.select(table.id, table.email, table.email_normalized)):
            checked += 1
            if row.email_normalized != normalized_email(row.email):
                flaws.add(f"{table.__tablename__} {row.id} is looked up by another address than is written there")
    return Check("addresses are looked up as written", checked, flaws.told())


def _links(connection: Connection) -> Check:
    """Every open link to a new password or a former address was offered when that was told, and ends in time."""
    flaws, checked = Flaws(), 0
    resets = sa.select(Link.id, Link.subject_id.label("user_id"), Link.created_at, Link.expires_at)
    resets = resets.where(Link.purpose == PASSWORD_RESET, Link.used_at.is_(None))
    undos = sa.select(EmailUndo.id, EmailUndo.user_id, EmailUndo.created_at, EmailUndo.expires_at)
    undos = undos.where(EmailUndo.used_at.is_(None))
    for what, life, types, statement in (
        ("a new password", RESET_LIFE, _RESETS, resets),
        ("a former address", UNDO_LIFE, _UNDOS, undos),
    ):
        with Scratch() as told, Scratch() as stored:
            for row, event in events(connection, types):
                told.add(event.subject, row.created_at.isoformat())
            # What is made for an address that nobody has is for no account.
            for link in stream(connection, statement.where(sa.exists().where(User.id == _user_of(statement)))):
                checked += 1
                stored.add(link.user_id, json.dumps([link.id, link.created_at.isoformat()]))
                if link.expires_at > link.created_at + life:
                    flaws.add(f"the link {link.id} to {what} of user {link.user_id} ends later than such links do")
            for user_id, links, times in merged(stored.items(), told.items()):
                for link_id, at in map(json.loads, links):
                    if at not in times:
                        flaws.add(f"the link {link_id} to {what} of user {user_id} is of {at}, when none was told")
    return Check("links were offered as told", checked, flaws.told())


def _user_of(statement: Any) -> Any:
    return statement.selected_columns.user_id


def _codes(connection: Connection) -> Check:
    """Recovery codes are of people with a second factor."""
    flaws, checked = Flaws(), 0
    counted = sa.select(RecoveryCode.user_id, User.otp_secret).outerjoin(User, User.id == RecoveryCode.user_id)
    for row in stream(connection, counted.distinct()):
        checked += 1
        if row.otp_secret is None:
            flaws.add(f"user {row.user_id} has recovery codes and no second factor")
    return Check("recovery codes are of second factors", checked, flaws.told())
