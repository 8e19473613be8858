"""The part of accounts' audit that compares people's powers with what was told of them: roles, locks, staff."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from services.accounts.models import Company, Membership, User
from services.chassis.data.audit.checks import Check, Flaws, events, stream
from services.chassis.data.audit.sorted import Scratch, in_order, merged

_MEMBERS = ("company_created", "company_user_added", "company_user_changed", "company_user_removed")
_FACTORS = ("otp_enabled", "otp_disabled", "email_change_undone")
_PEOPLE = ("user_activated", "user_changed", "user_erased", "user_locked", "user_unlocked", *_FACTORS)


def check_told(connection: Connection) -> list[Check]:
    """Return the checks of powers against accounts' own log.

    Args:
        connection: of a snapshot.
    """
    return [_memberships_told(connection), _people_told(connection)]


def _memberships_told(connection: Connection) -> Check:
    """Every membership has the role and lock that were told last, and none that was told is missing (ACC-4)."""
    flaws, checked = Flaws(), 0
    with Scratch() as told, Scratch() as stored:
        for row, event in events(connection, _MEMBERS):
            with flaws.reading(f"event {row.id} about a membership"):
                founds = event.type == "company_created"
                user_id = event.actorid if founds else event.data["user_id"]
                power = None if event.type == "company_user_removed" else _power(event.data, founds=founds)
                told.add(f"{event.companyid} {user_id}", json.dumps(power))
        columns = sa.select(Membership.company_id, Membership.user_id, Membership.role, Membership.locked)
        for member in stream(connection, columns):
            stored.add(f"{member.company_id} {member.user_id}", json.dumps([member.role, member.locked]))
        for key, found, powers in merged(stored.items(), told.items()):
            checked += len(found)
            company_id, user_id = key.split(" ", 1)
            last = powers[-1] if powers else "null"
            if found and found[-1] != last:
                flaws.add(f"user {user_id} is {found[-1]} in company {company_id}, and was told as {last}")
            elif not found and last != "null" and _is_there(connection, company_id):
                flaws.add(f"user {user_id} is not in company {company_id}, and was told as {last}")
    return Check("memberships are as they were told", checked, flaws.told())


def _power(data: Mapping[str, Any], *, founds: bool) -> list[Any]:
    return ["admin", False] if founds else [data["role"], data["locked"]]


def _is_there(connection: Connection, company_id: str) -> bool:
    # Whoever belonged to a company that was imported is told of in the importing one.
    found = sa.select(Company.id).where(Company.id == company_id, Company.absorbed_into.is_(None))
    return connection.scalar(found) is not None


def _people_told(connection: Connection) -> Check:
    """Every account is locked, staff and has rights of the vendor's exactly as it was told last (ACC-3, ACC-9)."""
    flaws, checked = Flaws(), 0
    with Scratch() as told:
        for row, event in events(connection, _PEOPLE):
            told.add(event.subject, row.event)
        columns = sa.select(User.id, User.locked, User.staff, User.account_rights, User.erased_at)
        columns = columns.add_columns(User.otp_confirmed_at)
        rows = stream(connection, columns.order_by(in_order(connection, User.id)))
        for user_id, found, documents in merged(((row.id, row) for row in rows), told.items()):
            checked += len(found)
            with flaws.reading(f"what was told of user {user_id}"):
                for flaw in _person_flaws(found, [json.loads(document) for document in documents]):
                    flaws.add(f"user {user_id} {flaw}")
    return Check("people have the powers that were told", checked, flaws.told())


def _person_flaws(found: list[Row[Any]], told: list[Mapping[str, Any]]) -> Iterator[str]:
    if not found:
        yield "was told of and is not there"
        return
    (row,) = found
    types = [event["type"] for event in told]
    if types.count("user_activated") != 1:
        yield f"was told as activated {types.count('user_activated')} times"
    if (row.erased_at is not None) != ("user_erased" in types):
        yield f"is {'' if row.erased_at else 'not '}erased, and was told otherwise"
    if row.erased_at is not None:
        return
    said: dict[str, Any] = {"locked": False, "staff": False, "account_rights": []}
    for event in told:
        if event["type"] in ("user_locked", "user_unlocked"):
            said["locked"] = event["type"] == "user_locked"
        said.update({name: event["data"][name] for name in ("staff", "account_rights") if name in event["data"]})
    for name, value in said.items():
        if getattr(row, name) != value:
            yield f"has {name} = {getattr(row, name)}, and was told with {value}"
    factors = [event for event in told if event["type"] in _FACTORS]
    last = factors[-1]["type"] if factors else "otp_disabled"
    # Giving an account back switches off what was switched on since; an older second factor stays.
    if last != "email_change_undone" and (row.otp_confirmed_at is not None) != (last == "otp_enabled"):
        is_on = row.otp_confirmed_at is not None
        yield f"has {'a' if is_on else 'no'} second factor, and was told {'without' if is_on else 'with'} one"
