"""Rows that say something else than the events about them, or than other rooms: forged for `test_tampering`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from deploy.tests.tampering import (
    ADA,
    BOX,
    BUILT,
    GONE,
    HOME,
    MAC,
    MADE,
    NEW,
    NOW,
    ROLE,
    SITE,
    Forgery,
    event_row,
    forged,
)
from services.accounts import models as people
from services.chassis.data.place import Place
from services.chassis.data.tables import applied_events, log_epochs, positions
from services.chassis.data.testing import forge
from services.devices import models as things
from services.history.models import Chain, Line
from services.projects import models as sites

_LATER = NOW + timedelta(hours=1)
_TOKEN = {"id": "t", "user_id": "u", "company_id": "c", "created_at": NOW, "scopes": ["read"], "name": "n"}
_CREATED = {"token_id": "t", "user_id": "u", "scopes": ["read"], "name": "n", "_companyid": "c"}
_REGISTERED = {**MADE, "order_number": "4711", "warranty_months": 0}
_BUILT = {**BUILT[1], "type": "IP6000", "shipped_on": None, "rma": False, "registered_at": NOW}


def _second(row: tuple[Any, dict[str, Any]]) -> tuple[Any, dict[str, Any]]:
    """Return an event's row with the next number."""
    return row[0], {**row[1], "sequence": 2, "emission": 2}


def _token(**changes: Any) -> Forgery:
    return forged((people.ApiToken, {**_TOKEN, **changes}), event_row("api_token_created", "u", **_CREATED))


def _built(**changes: Any) -> Forgery:
    return forged(
        (things.Production, {**_BUILT, **changes}),
        event_row("production_registered", MAC, _hardwareid=MAC, **_REGISTERED),
    )


_ROLES = ((1, "admin"), (2, "member"))


def _told_role(number: int, role: str) -> tuple[Any, dict[str, Any]]:
    """Return the row of an event about a role, of which the later ones were emitted before the others."""
    data = {"user_id": "u", "role": role, "locked": False}
    table, values = event_row("company_user_changed", f"u{number}", _companyid="new", **data)
    return table, {**values, "sequence": number, "emission": 9 - number}


def _set_back(connection: sa.Connection) -> None:
    forge(connection, positions, source="accounts", sequence=3)
    forge(connection, applied_events, source="accounts", event_id="e4", sequence=4)


def _wrong_epoch(connection: sa.Connection) -> None:
    forge(connection, log_epochs, epoch="x", start=9, previous_end=5)


_TOKENS = "API tokens are as they were told"
_IMPORT = {"merge_id": "i", "company_id": "new", "gone_id": "old", "gone_ids": ["old"]}
_POWERS = "people have the powers that were told"
_RECORD = {**BOX, "deleted_at": None, "order_number": None}
_SENT = event_row("project_created", "p", version=1)
_ACTIVE = event_row("user_activated", "u")
_WRITTEN = {**ADA, "email_normalized": "ada@example.org"}
_RESET = {"id": "l", "purpose": "password_reset", "subject_id": "u", "created_at": NOW, "used_at": None}
_UNDO = {"id": "l", "user_id": "u", "created_at": NOW, "used_at": None}
_CHANGED = event_row("company_changed", "c", name="Old", what=["otp_demanded"])
BESIDE: list[tuple[str, str, Forgery, str]] = [
    ("accounts", _POWERS, forged((people.User, ADA)), "user u was told as activated 0 times"),
    ("accounts", _POWERS, forged(_ACTIVE), "user u was told of and is not there"),
    (
        "accounts",
        _POWERS,
        forged((people.User, ADA), _ACTIVE, _second(event_row("user_erased", "u"))),
        "user u is not erased, and was told otherwise",
    ),
    (
        "accounts",
        _POWERS,
        forged((people.User, {**ADA, "erased_at": NOW}), _ACTIVE),
        "user u is erased, and was told otherwise",
    ),
    (
        "accounts",
        "companies have the names that were told",
        forged(event_row("company_created", "c", name="Old")),
        "company c was told and is not there",
    ),
    (
        "accounts",
        "companies have the names that were told",
        forged(
            (people.Company, {"id": "c", "name": "Old"}),
            event_row("company_created", "c", name="Old"),
            _second(_CHANGED),
        ),
        "company c demands no second factor, and was told otherwise",
    ),
    (
        "accounts",
        "companies have the names that were told",
        forged(
            (people.Company, {"id": "c", "name": "Old", "otp_demanded_at": NOW}),
            event_row("company_created", "c", name="Old"),
        ),
        "company c demands a second factor, and was told otherwise",
    ),
    (
        "accounts",
        "addresses are looked up as written",
        forged((people.User, {**ADA, "email_normalized": "eve@example.org"})),
        "users u is looked up by another address",
    ),
    (
        "accounts",
        "links were offered as told",
        forged((people.User, _WRITTEN), (people.Link, {**_RESET, "expires_at": _LATER})),
        "the link l to a new password of user u is of 2026-11-24T00:00:00+00:00, when none was told",
    ),
    (
        "accounts",
        "links were offered as told",
        forged((people.User, _WRITTEN), (people.EmailUndo, {**_UNDO, "expires_at": NOW + timedelta(days=8)})),
        "the link l to a former address of user u ends later than such links do",
    ),
    (
        "accounts",
        "recovery codes are of second factors",
        forged((people.User, _WRITTEN), (people.RecoveryCode, {"user_id": "u", "code_hash": "0" * 64})),
        "user u has recovery codes and no second factor",
    ),
    (
        "accounts",
        "invitations are as they were told",
        forged(
            (
                people.Invitation,
                {"id": "i", "company_id": "c", "created_at": NOW, "expires_at": NOW + timedelta(days=900)},
            ),
            event_row("company_user_invited", "i", _companyid="c"),
        ),
        "invitation i ends at 2029-05-12 00:00:00, later than an invitation does",
    ),
    (
        "accounts",
        "memberships are as they were told",
        # The number says which was told last; the order of emission is in no line of history.
        forged((people.Membership, ROLE), *(_told_role(number, role) for number, role in _ROLES)),
        'and was told as ["member", false]',
    ),
    (
        "devices",
        "records belong to their projects",
        forged(BUILT, SITE, (things.Device, {**BOX, "order_number": "4711", "proven_by": None})),
        "device d has its order's number, which proves, and is not proven",
    ),
    (
        "accounts",
        _POWERS,
        forged((people.User, {**ADA, "otp_confirmed_at": None}), event_row("otp_enabled", "u")),
        "has no second factor, and was told with one",
    ),
    (
        "accounts",
        _POWERS,
        forged((people.User, {**ADA, "otp_confirmed_at": NOW})),
        "has a second factor, and was told without one",
    ),
    (
        "accounts",
        "sessions are as they were told",
        forged(
            (people.Session, {"id": "s", "user_id": "u", "created_at": NOW, "expires_at": NOW + timedelta(days=900)}),
            event_row("session_created", "u", session_id="s", user_id="u"),
        ),
        "s ends at 2029-05-12 00:00:00, later than a session made at 2026-11-24 does",
    ),
    (
        "devices",
        "every record told once",
        forged(
            (things.Device, {**_RECORD, "proven_by": "staff"}),
            event_row("device_added", "d", possession="claimed"),
            _second(event_row("device_possession_proven", "d", by="device_key")),
        ),
        "was proven by staff, and was told as proven by device_key",
    ),
    (
        "projects",
        "outbox without gaps",
        forged((_SENT[0], {**_SENT[1], "sequence": None})),
        "project_created, is marked as published and never had a number",
    ),
    ("projects", "outbox without gaps", forged(_second(_SENT)), "between sequence 1 and 2; missing: 1"),
    ("history", "lines are of applied events", forged((Line, {"source": "billing"})), "lines of 'billing', which"),
    (
        "history",
        "lines are of applied events",
        forged(
            (positions, {"source": "projects", "sequence": 3}), (Line, {"source": "projects", "source_sequence": 4})
        ),
        "number 4 of projects, and history has applied projects up to 3",
    ),
    (
        "history",
        "heads are signed in time",
        forged(
            (Chain, {"chain": "c", "count": 2}),
            (Line, {"chain": "c", "number": 1, "at": NOW, "position": 1}),
            (Line, {"chain": "c", "number": 2, "at": NOW + timedelta(hours=3), "position": 2, "event_id": "f"}),
        ),
        "chain c has no signed head since line 0",
    ),
    ("accounts", _TOKENS, forged((people.ApiToken, _TOKEN)), "t was told as made 0 times"),
    ("accounts", _TOKENS, _token(created_at=_LATER), "t was made at 2026-11-24 01:00:00, and was told at"),
    ("accounts", _TOKENS, _token(scopes=["write"]), "t has scopes = ['write'], and was told with ['read']"),
    ("accounts", _TOKENS, _token(company_id="d"), "t is for company d, and was told for c"),
    (
        "accounts",
        _TOKENS,
        forged(
            (people.ApiToken, _TOKEN),
            event_row("api_token_created", "u", **_CREATED),
            _second(event_row("api_token_revoked", "u", **_CREATED)),
        ),
        "t has not ended, and was told as ended",
    ),
    (
        "accounts",
        "sessions are as they were told",
        forged(
            (people.Session, {"id": "s", "user_id": "v", "created_at": NOW}),
            event_row("session_created", "u", session_id="s", user_id="u"),
        ),
        "s has user_id = v, and was told with u",
    ),
    (
        "accounts",
        "service accounts are as they were told",
        forged((people.ServiceAccount, {"id": "a", "scopes": ["orders"]})),
        "a was told as made 0 times",
    ),
    (
        "accounts",
        "service tokens are as they were told",
        forged((people.ServiceToken, {"id": "t"})),
        "t was told as made 0 times",
    ),
    (
        "accounts",
        "invitations are as they were told",
        forged(
            (people.Invitation, {"id": "i", "company_id": "c"}), event_row("company_user_invited", "i", _companyid="d")
        ),
        "invitation i is of company c, and was told of ['d']",
    ),
    (
        "accounts",
        "companies have the names that were told",
        forged((people.Company, {"id": "c", "name": "Old"}), event_row("company_created", "c", name="New")),
        "company c is called 'Old', and was told as ['New']",
    ),
    (
        "accounts",
        "imports are as they were told",
        forged((people.CompanyImport, {"id": "i", "company_id": "new", "gone_id": "old", "gone_ids": ["old"]})),
        "import i is [",
    ),
    (
        "accounts",
        "imports are as they were told",
        forged(
            (people.Company, {**GONE[1], "absorbed_into": "other"}),
            NEW,
            (people.CompanyImport, {"id": "i", "company_id": "new", "gone_id": "old", "gone_ids": ["old"]}),
            event_row("company_merged", "old", **_IMPORT),
        ),
        "company old was imported by new, and stands for other",
    ),
    (
        "devices",
        "every record told once",
        forged((things.Device, {**BOX, "added_at": _LATER}), event_row("device_added", "d")),
        "was added at 2026-11-24 01:00:00, and was told at 2026-11-24 00:00:00",
    ),
    (
        "devices",
        "every record told once",
        forged((things.Device, {**BOX, "comment": "mine"}), event_row("device_added", "d")),
        "has another comment than was told (4 and 0 characters)",
    ),
    (
        "devices",
        "what was built is as it was told",
        _built(warranty_months=1),
        "has 1 months of warranty, and was told",
    ),
    (
        "devices",
        "what was built is as it was told",
        _built(extension_months=1),
        "has 1 more months and an SSA until None",
    ),
    ("devices", "what was built is as it was told", _built(registered_at=_LATER), "was registered at 2026-11-24 01:00"),
    (
        "projects",
        "projects are as they were told",
        forged(
            (sites.Project, {**HOME, "version": 1, "created_at": _LATER}),
            event_row("project_created", "p", name="Home", state="open", version=1),
        ),
        "was made at 2026-11-24 01:00:00, and was told at 2026-11-24 00:00:00",
    ),
    ("projects", "places are not set back", _set_back, "the place in the log of accounts is 3, and 4 was applied"),
    ("projects", "epochs follow each other", _wrong_epoch, "epoch x starts at 9 behind 5, the log before ends at 0"),
]
PLACES = [
    (Place(7, "e7", "a"), "event e7, which devices does not have there"),
    (Place(8, "e9", "a"), "up to 8, event e9, which devices does not"),
    (Place(9, "e9", "b"), "in the epoch b, which devices never had"),
]
"""Places in a log that ends at sequence 9 with the event e9, in the epoch a."""
