"""Rows that no command makes, to be forged into a database: what `test_tampering` and its tables are made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from services.accounts import models as people
from services.chassis.data.aliases import aliases
from services.chassis.data.tables import outbox, outbox_head
from services.chassis.data.testing import forge
from services.devices import models as things
from services.history.models import Line
from services.projects import models as sites

NOW = datetime(2026, 11, 24, tzinfo=UTC)
MAC = "00-90-33-00-00-01"
Forgery = Callable[[sa.Connection], Any]


def forged(*rows: tuple[Any, dict[str, Any]]) -> Forgery:
    def work(connection: sa.Connection) -> None:
        for model, values in rows:
            forge(connection, model, **values)

    return work


def event_row(kind: str, subject: str, /, **data: Any) -> tuple[Any, dict[str, Any]]:
    """Return the row of an event; what begins with an underscore is an attribute of it, the rest is its data."""
    document = {
        "id": f"e-{kind}-{subject}"[:36],
        "source": "x",
        "type": kind,
        "time": NOW.isoformat(),
        "subject": subject,
    }
    document |= {name[1:]: data.pop(name) for name in list(data) if name.startswith("_")}
    return outbox, {
        "id": document["id"],
        "type": kind,
        "event": json.dumps({**document, "data": data}),
        "emission": 1,
        "sequence": 1,
        "sent_at": NOW,
        "created_at": NOW,
    }


BUILT = (things.Production, {"hardware_id": MAC, "kind": "mac", "order_number": "4711"})
MADE = {"type": "IP6000", "shipped_on": None}
SITE = (things.Project, {"id": "p", "company_id": "a", "state": "open"})
BOX = {"id": "d", "company_id": "a", "project_id": "p", "hardware_id": MAC}
HOME = {"id": "p", "company_id": "a", "name": "Home", "name_normalized": "home", "state": "open"}
GONE = (people.Company, {"id": "old", "absorbed_into": "new"})
NEW = (people.Company, {"id": "new"})
ADA = {"id": "u", "email": "ada@example.org", "password_hash": "", "staff": False, "locked": False}
IN_OLD = {"company_id": "old", "user_id": "u"}
ROLE = {"user_id": "u", "company_id": "new", "role": "admin", "locked": False}
SESSION = {"id": "s", "user_id": "u", "company_id": "new", "ended_at": None}
ALIAS = (aliases, {"old_id": "old", "new_id": "new"})


def two_lines(connection: sa.Connection) -> None:
    """Give an event two lines, in a table without the key that forbids it."""
    columns = [sa.Column(column.name, column.type, nullable=True) for column in Line.__table__.columns]
    connection.exec_driver_sql("DROP TABLE lines")
    table = sa.Table("lines", sa.MetaData(), *columns)
    table.create(connection)
    for number in (1, 2):
        forge(connection, Line, event_id="e", chain="c", number=number)


def gap(connection: sa.Connection) -> None:
    for subject, sequence in (("p", 1), ("q", 3)):
        table, values = event_row("project_created", subject, version=1)
        forge(connection, table, **{**values, "sequence": sequence, "emission": sequence})
    connection.execute(sa.update(outbox_head).values(last_sequence=3))


_BROKEN = {**event_row("project_created", "p", version=1)[1], "event": "{"}
_LIES = {**event_row("project_created", "p", version=1)[1], "type": "project_changed"}
GARBAGE: list[tuple[str, str, Forgery, str]] = [
    (
        "projects",
        "every event can be read",
        forged((outbox, _BROKEN)),
        "e-project_created-p of the outbox cannot",
    ),
    (
        "projects",
        "every event can be read",
        forged((outbox, _LIES)),
        "e-project_created-p of the outbox says",
    ),
]
TOLD: list[tuple[str, str, Forgery, str]] = [
    (
        "projects",
        "rights are as they were told",
        forged((sites.Project, HOME), (sites.ProjectRight, {"project_id": "p", "company_id": "b"})),
        "company b has a right in project p, which was not told as granted",
    ),
    (
        "projects",
        "rights are as they were told",
        forged((sites.Project, HOME), event_row("project_right_granted", "p", guest_company_id="b")),
        "company b has no right in project p, which was told as granted",
    ),
    (
        "projects",
        "rights are as they were told",
        forged(event_row("project_right_granted", "p")),
        "about a right cannot be read (KeyError)",
    ),
    (
        "projects",
        "projects are as they were told",
        forged(
            (sites.Project, {**HOME, "version": 1}),
            event_row("project_created", "p", name="Home", state="open", version=1, _companyid="b"),
        ),
        "belongs to company a, and was told as one of b",
    ),
    (
        "projects",
        "projects are as they were told",
        forged(
            (sites.Project, {**HOME, "version": 1, "created_by": "u"}),
            event_row("project_created", "p", name="Home", state="open", version=1, _actorid="v"),
        ),
        "was made by u, and was told as made by v",
    ),
    (
        "devices",
        "every record told once",
        forged((things.Device, BOX), event_row("device_added", "d", _hardwareid="00-90-33-00-00-02")),
        f"is {MAC}, and was told as 00-90-33-00-00-02",
    ),
    (
        "devices",
        "every record told once",
        forged((things.Device, BOX), event_row("device_added", "d", _projectid="q")),
        "is in project p, and was told to be in q",
    ),
    ("devices", "production ids canonical", forged(BUILT), "for the order 4711, which is not there"),
    ("devices", "what was built is as it was told", forged(BUILT), "was told as registered 0 times"),
    (
        "devices",
        "what was built is as it was told",
        forged(event_row("production_registered", MAC, _hardwareid=MAC)),
        "was told and is not there",
    ),
    (
        "devices",
        "what was built is as it was told",
        forged(BUILT, event_row("production_registered", MAC, _hardwareid=MAC, **MADE, order_number="4712")),
        "for the order 4711, and was told as",
    ),
    (
        "devices",
        "what was built is as it was told",
        forged(
            (things.Production, {**BUILT[1], "type": "IP6000", "rma": True}),
            event_row("production_registered", MAC, _hardwareid=MAC, **MADE, order_number="4711"),
        ),
        "is marked for repair, and was told otherwise",
    ),
    (
        "accounts",
        "absorbed companies stand for one",
        forged((people.CompanyImport, {"id": "i", "gone_id": "old"})),
        "company old was imported and is still there",
    ),
    (
        "accounts",
        "absorbed companies are empty",
        forged(GONE, NEW, (people.User, {**ADA, "last_company_id": "old"})),
        "has 1 users who come back to it",
    ),
    (
        "accounts",
        "absorbed companies are empty",
        forged(GONE, NEW, (people.DeviceNotice, {"company_id": "old", "held": True})),
        "has 1 held mails about devices",
    ),
    (
        "accounts",
        "memberships are as they were told",
        forged((people.Membership, ROLE)),
        'user u is ["admin", false] in company new, and was told as null',
    ),
    (
        "accounts",
        "memberships are as they were told",
        forged(NEW, event_row("company_created", "new", _companyid="new", _actorid="u")),
        "user u is not in company new, and was told as",
    ),
    (
        "accounts",
        "memberships are as they were told",
        forged(event_row("company_user_added", "u", _companyid="new")),
        "about a membership cannot be read (KeyError)",
    ),
    (
        "accounts",
        "people have the powers that were told",
        forged((people.User, {**ADA, "staff": True})),
        "has staff = True, and was told with False",
    ),
    (
        "accounts",
        "people have the powers that were told",
        forged((people.User, ADA), event_row("user_locked", "u")),
        "has locked = False, and was told with True",
    ),
    (
        "accounts",
        "people have the powers that were told",
        forged(event_row("user_locked", "u")),
        "was told of and is not there",
    ),
]
