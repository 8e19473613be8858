"""Each check of the rooms' audits finds what it is for: rows that no command makes are forged into a database (L18).

licensing's checks need a world in which much was done; their tests are in its own room. The house test compares the
names of all checks with those in `TAMPERED`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from services.accounts import audit as accounts
from services.accounts import models as people
from services.chassis.aliases import aliases
from services.chassis.audit import Check, check_places
from services.chassis.db import Database
from services.chassis.place import Place
from services.chassis.tables import outbox, outbox_head, positions, retry_events
from services.chassis.testing import flaws_of, forge, make_database, unguarded
from services.devices import audit as devices
from services.devices import models as things
from services.history.audit import _chains, _doubled
from services.history.heads import Signed
from services.history.models import Chain, Line
from services.projects import audit as projects
from services.projects import models as sites

NOW = datetime(2026, 11, 24, tzinfo=UTC)
MAC = "00-90-33-00-00-01"
Forgery = Callable[[sa.Connection], Any]


def _rows(*rows: tuple[Any, dict[str, Any]]) -> Forgery:
    def work(connection: sa.Connection) -> None:
        for model, values in rows:
            forge(connection, model, **values)

    return work


def _event(kind: str, subject: str, /, **data: Any) -> tuple[Any, dict[str, Any]]:
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


_BUILT = (things.Production, {"hardware_id": MAC, "kind": "mac", "order_number": "4711"})
_MADE = {"type": "IP6000", "shipped_on": None}
_SITE = (things.Project, {"id": "p", "company_id": "a", "state": "open"})
_BOX = {"id": "d", "company_id": "a", "project_id": "p", "hardware_id": MAC}
_HOME = {"id": "p", "company_id": "a", "name": "Home", "name_normalized": "home", "state": "open"}
_GONE = (people.Company, {"id": "old", "absorbed_into": "new"})
_NEW = (people.Company, {"id": "new"})
_ADA = {"id": "u", "email": "ada@example.org", "password_hash": "", "staff": False, "locked": False}
_IN_OLD = {"company_id": "old", "user_id": "u"}
_ROLE = {"user_id": "u", "company_id": "new", "role": "admin", "locked": False}
_SESSION = {"id": "s", "user_id": "u", "company_id": "new", "ended_at": None}
_ALIAS = (aliases, {"old_id": "old", "new_id": "new"})


def _twice(connection: sa.Connection) -> None:
    """Give an event two lines, in a table without the key that forbids it."""
    columns = [sa.Column(column.name, column.type, nullable=True) for column in Line.__table__.columns]
    connection.exec_driver_sql("DROP TABLE lines")
    table = sa.Table("lines", sa.MetaData(), *columns)
    table.create(connection)
    for number in (1, 2):
        forge(connection, Line, event_id="e", chain="c", number=number)


def _gap(connection: sa.Connection) -> None:
    for subject, sequence in (("p", 1), ("q", 3)):
        table, values = _event("project_created", subject, version=1)
        forge(connection, table, **{**values, "sequence": sequence, "emission": sequence})
    connection.execute(sa.update(outbox_head).values(last_sequence=3))


_BROKEN = {**_event("project_created", "p", version=1)[1], "event": "{"}
_LIES = {**_event("project_created", "p", version=1)[1], "type": "project_changed"}
GARBAGE: list[tuple[str, str, Forgery, str]] = [
    ("projects", "every event can be read", _rows((outbox, _BROKEN)), "event e-project_created-p of the outbox cannot"),
    ("projects", "every event can be read", _rows((outbox, _LIES)), "e-project_created-p of the outbox says something"),
]
TOLD: list[tuple[str, str, Forgery, str]] = [
    (
        "projects",
        "rights are as they were told",
        _rows((sites.Project, _HOME), (sites.ProjectRight, {"project_id": "p", "company_id": "b"})),
        "company b has a right in project p, which was not told as granted",
    ),
    (
        "projects",
        "rights are as they were told",
        _rows((sites.Project, _HOME), _event("project_right_granted", "p", guest_company_id="b")),
        "company b has no right in project p, which was told as granted",
    ),
    (
        "projects",
        "rights are as they were told",
        _rows(_event("project_right_granted", "p")),
        "about a right cannot be read (KeyError)",
    ),
    (
        "projects",
        "projects are as they were told",
        _rows(
            (sites.Project, {**_HOME, "version": 1}),
            _event("project_created", "p", name="Home", state="open", version=1, _companyid="b"),
        ),
        "belongs to company a, and was told as one of b",
    ),
    (
        "projects",
        "projects are as they were told",
        _rows(
            (sites.Project, {**_HOME, "version": 1, "created_by": "u"}),
            _event("project_created", "p", name="Home", state="open", version=1, _actorid="v"),
        ),
        "was made by u, and was told as made by v",
    ),
    (
        "devices",
        "every record told once",
        _rows((things.Device, _BOX), _event("device_added", "d", _hardwareid="00-90-33-00-00-02")),
        f"is {MAC}, and was told as 00-90-33-00-00-02",
    ),
    (
        "devices",
        "every record told once",
        _rows((things.Device, _BOX), _event("device_added", "d", _projectid="q")),
        "is in project p, and was told to be in q",
    ),
    ("devices", "production ids canonical", _rows(_BUILT), "for the order 4711, which is not there"),
    ("devices", "what was built is as it was told", _rows(_BUILT), "was told as registered 0 times"),
    (
        "devices",
        "what was built is as it was told",
        _rows(_event("production_registered", MAC, _hardwareid=MAC)),
        "was told and is not there",
    ),
    (
        "devices",
        "what was built is as it was told",
        _rows(_BUILT, _event("production_registered", MAC, _hardwareid=MAC, **_MADE, order_number="4712")),
        "for the order 4711, and was told as",
    ),
    (
        "devices",
        "what was built is as it was told",
        _rows(
            (things.Production, {**_BUILT[1], "type": "IP6000", "rma": True}),
            _event("production_registered", MAC, _hardwareid=MAC, **_MADE, order_number="4711"),
        ),
        "is marked for repair, and was told otherwise",
    ),
    (
        "accounts",
        "absorbed companies stand for one",
        _rows((people.CompanyImport, {"id": "i", "gone_id": "old"})),
        "company old was imported and is still there",
    ),
    (
        "accounts",
        "absorbed companies are empty",
        _rows(_GONE, _NEW, (people.User, {**_ADA, "last_company_id": "old"})),
        "has 1 users who come back to it",
    ),
    (
        "accounts",
        "absorbed companies are empty",
        _rows(_GONE, _NEW, (people.DeviceNotice, {"company_id": "old", "held": True})),
        "has 1 held mails about devices",
    ),
    (
        "accounts",
        "memberships are as they were told",
        _rows((people.Membership, _ROLE)),
        'user u is ["admin", false] in company new, and was told as null',
    ),
    (
        "accounts",
        "memberships are as they were told",
        _rows(_NEW, _event("company_created", "new", _companyid="new", _actorid="u")),
        "user u is not in company new, and was told as",
    ),
    (
        "accounts",
        "memberships are as they were told",
        _rows(_event("company_user_added", "u", _companyid="new")),
        "about a membership cannot be read (KeyError)",
    ),
    (
        "accounts",
        "people have the powers that were told",
        _rows((people.User, {**_ADA, "staff": True})),
        "has staff = True, and was told with False",
    ),
    (
        "accounts",
        "people have the powers that were told",
        _rows((people.User, _ADA), _event("user_locked", "u")),
        "has locked = False, and was told with True",
    ),
    (
        "accounts",
        "people have the powers that were told",
        _rows(_event("user_locked", "u")),
        "was told of and is not there",
    ),
]
TAMPERED: list[tuple[str, str, Forgery, str]] = [
    ("accounts", "absorbed companies stand for one", _rows(_GONE, _NEW), "gone without an import"),
    (
        "accounts",
        "absorbed companies stand for one",
        _rows(_GONE, (people.Company, {"id": "new", "absorbed_into": "old"})),
        "which is gone itself",
    ),
    ("accounts", "absorbed companies are empty", _rows(_GONE, _NEW, (people.Membership, _IN_OLD)), "has 1 users"),
    (
        "accounts",
        "absorbed companies are empty",
        _rows(_GONE, _NEW, (people.Invitation, {"company_id": "old"})),
        "has 1 invitations",
    ),
    (
        "accounts",
        "absorbed companies are empty",
        _rows(_GONE, _NEW, (people.Session, {**_SESSION, "company_id": "old"})),
        "has 1 sessions",
    ),
    (
        "accounts",
        "absorbed companies are empty",
        _rows(_GONE, _NEW, (people.ApiToken, {"company_id": "old"})),
        "has 1 API tokens",
    ),
    ("accounts", "imports came to their end", _rows((people.CompanyImport, {"id": "i"})), "was not applied by every"),
    ("accounts", "memberships are of people in companies", _rows((people.Membership, _ROLE)), "who has no account"),
    (
        "accounts",
        "memberships are of people in companies",
        _rows((people.User, _ADA), (people.Membership, _ROLE)),
        "company new, which is not there",
    ),
    (
        "accounts",
        "memberships are of people in companies",
        _rows((people.User, {**_ADA, "staff": True}), _NEW, (people.Membership, _ROLE)),
        "who is staff of the vendor",
    ),
    (
        "accounts",
        "memberships are of people in companies",
        _rows((people.User, _ADA), _NEW, (people.Membership, {**_ROLE, "role": "boss"})),
        "has the role 'boss'",
    ),
    (
        "accounts",
        "companies have an administrator",
        _rows((people.Membership, {**_ROLE, "locked": True})),
        "no unlocked administrator",
    ),
    ("accounts", "living sessions are of people who may", _rows((people.Session, _SESSION)), "is locked or gone"),
    (
        "accounts",
        "living sessions are of people who may",
        _rows((people.User, _ADA), (people.Session, _SESSION)),
        "where user u may not work",
    ),
    (
        "accounts",
        "sessions have one chain",
        _rows(
            (people.RefreshToken, {"session_id": "s", "token_hash": "1"}),
            (people.RefreshToken, {"session_id": "s", "token_hash": "2"}),
        ),
        "has 2 chains",
    ),
    (
        "accounts",
        "erased accounts are empty",
        _rows((people.User, {**_ADA, "erased_at": NOW, "surname": "Lovelace"})),
        "something is left",
    ),
    (
        "accounts",
        "secrets are hashed",
        _rows((people.User, {**_ADA, "password_hash": "hunter2"})),
        "users.password_hash holds something",
    ),
    (
        "accounts",
        "what is sealed can be opened",
        _rows((people.User, {**_ADA, "otp_secret": b"x"})),
        "second factor",
    ),
    (
        "accounts",
        "what is sealed can be opened",
        _rows((people.Mail, {"id": "m", "sealed": b"x", "next_at": NOW})),
        "waits and cannot be opened",
    ),
    (
        "accounts",
        "what is sealed can be opened",
        _rows((people.Mail, {"id": "m", "sealed": b"x", "next_at": None})),
        "its content is still there",
    ),
    (
        "accounts",
        "what is sealed can be opened",
        _rows((people.Mail, {"id": "m", "sealed": b"x", "parked_at": NOW, "error": "no template"})),
        "is parked: no template",
    ),
    ("devices", "production ids canonical", _rows((things.Production, {"hardware_id": "zz"})), "production 'zz'"),
    (
        "devices",
        "production ids canonical",
        _rows((things.Production, {"hardware_id": MAC, "kind": "ipei"})),
        "should be",
    ),
    ("devices", "records belong to their projects", _rows(_BUILT, (things.Device, _BOX)), "is not that of project p"),
    (
        "devices",
        "records belong to their projects",
        _rows(_BUILT, (things.Project, {"id": "p", "company_id": "a", "state": "closed"}), (things.Device, _BOX)),
        "is in the closed project",
    ),
    ("devices", "records belong to their projects", _rows(_SITE, (things.Device, _BOX)), "not in the production data"),
    (
        "devices",
        "records belong to their projects",
        _rows(_BUILT, _SITE, (things.Device, {**_BOX, "order_number": "4712"})),
        "the number of another order",
    ),
    (
        "devices",
        "records belong to their projects",
        _rows(_BUILT, _SITE, (things.Device, {**_BOX, "proven_by": "hearsay"})),
        "was proven by 'hearsay'",
    ),
    (
        "devices",
        "one record per company and device",
        lambda connection: (
            connection.exec_driver_sql("DROP INDEX uq_devices_company_id_hardware_id"),
            _rows((things.Device, _BOX), (things.Device, {**_BOX, "id": "e"}))(connection),
        ),
        "2 times",
    ),
    ("devices", "every record told once", _rows((things.Device, _BOX)), "was told added and deleted (0, 0) times"),
    (
        "devices",
        "every record told once",
        _rows((things.Device, {**_BOX, "proven_by": "order"}), _event("device_added", "d", possession="claimed")),
        "is proven, and was told otherwise",
    ),
    ("devices", "every record told once", _rows(_event("device_added", "d")), "was told but has no record"),
    (
        "projects",
        "names are unique in the company",
        _rows((sites.Project, {**_HOME, "name_normalized": "x"})),
        "known as 'x'",
    ),
    (
        "projects",
        "names are unique in the company",
        _rows((sites.Project, _HOME), (sites.Project, {**_HOME, "id": "q", "name_normalized": "x"})),
        "has 2 projects called",
    ),
    ("projects", "companies have a first project", _rows((sites.Project, _HOME)), "never given a first one"),
    (
        "projects",
        "rights and choices are of projects",
        _rows((sites.ProjectRight, {"project_id": "p", "company_id": "b"})),
        "which is not there",
    ),
    (
        "projects",
        "rights and choices are of projects",
        _rows(
            (sites.Project, {**_HOME, "closing_id": "c"}), (sites.ProjectRight, {"project_id": "p", "company_id": "b"})
        ),
        "which is being deleted",
    ),
    (
        "projects",
        "rights and choices are of projects",
        _rows((sites.Selection, {"user_id": "u", "company_id": "b", "project_id": "p"})),
        "not there or archived",
    ),
    (
        "projects",
        "rights and choices are of projects",
        _rows((sites.Project, _HOME), (sites.Selection, {"user_id": "u", "company_id": "b", "project_id": "p"})),
        "in which the company has no right",
    ),
    ("projects", "projects are as they were told", _rows((sites.Project, _HOME)), "was told 0 times"),
    (
        "projects",
        "projects are as they were told",
        _rows((sites.Project, _HOME), _event("project_created", "p", name="House", state="open", version=0)),
        "told was",
    ),
    (
        "projects",
        "projects are as they were told",
        _rows(_event("project_created", "p", name="Home", state="open", version=1)),
        "never told as deleted",
    ),
    (
        "projects",
        "guests are other companies",
        _rows((sites.Project, _HOME), (sites.ProjectRight, {"project_id": "p", "company_id": "a"})),
        "is a guest in its own project",
    ),
    ("projects", "old ids hold no rows", _rows(_ALIAS, (sites.Project, {**_HOME, "company_id": "old"})), "under old"),
    (
        "projects",
        "old ids hold no rows",
        _rows(_ALIAS, (aliases, {"old_id": "new", "new_id": "newest"})),
        "which became another id itself",
    ),
    ("projects", "outbox without gaps", _rows(_event("project_created", "p", version=1)), "its head says 0"),
    (
        "projects",
        "outbox without gaps",
        _gap,
        "holds 2 events between sequence 1 and 3",
    ),
    (
        "projects",
        "every event published",
        lambda connection: (
            _rows(_event("project_created", "p", version=1))(connection),
            connection.execute(sa.update(outbox).values(sent_at=None)),
        ),
        "waits to be published",
    ),
    (
        "projects",
        "no parked events",
        _rows((retry_events, {"event_id": "e", "source": "accounts", "parked_at": NOW, "reason": "KeyError"})),
        "is parked: ['KeyError']",
    ),
    (
        "projects",
        "every source is followed",
        _rows((positions, {"source": "accounts", "stopped_at": NOW, "stopped_because": "it was restored"})),
        "are not applied since",
    ),
    *GARBAGE,
    *TOLD,
    ("history", "events have one line", _twice, "event e has 2 lines"),
    ("history", "hash chains", _rows((Chain, {"chain": "c", "count": 1, "hash": "f" * 64})), "c"),
]


def audited(room: str, database: Database) -> list[Check]:
    """Return all checks of a room."""

    def work(connection: sa.Connection) -> list[Check]:
        if room == "history":
            return [_chains(connection, Signed()), _doubled(connection)]
        if room == "accounts":
            assert database.keystore is not None
            return list(accounts.report(connection, database.keystore).checks)
        return list({"devices": devices, "projects": projects}[room].report(connection).checks)

    return database.read(work, snapshot=True)


@pytest.fixture
def databases(database_uri: str, tmp_path: Path) -> Iterator[Callable[[str], Database]]:
    made: list[Database] = []

    def make(room: str) -> Database:
        made.append(make_database(room, database_uri, tmp_path))
        return made[-1]

    yield make
    for database in made:
        database.close()


@pytest.mark.parametrize("number", range(len(TAMPERED)))
def test_what_was_forged_is_told_by_the_check_for_it(databases: Callable[[str], Database], number: int) -> None:
    room, name, forgery, text = TAMPERED[number]
    database = databases(room)
    assert flaws_of(audited(room, database), name) == ""
    with unguarded(database) as connection:
        forgery(connection)
    assert text in flaws_of(audited(room, database), name)


def test_a_place_in_a_log_that_does_not_have_it_is_told() -> None:
    place = Place(7, "e7")
    (flaw,) = check_places("history", {"devices": place}, {"devices": lambda _: "other"}).flaws
    assert check_places("history", {}, {}).name == "applied events are in their sources"
    assert "reconcile-events devices" in flaw


# Only SQLite takes whatever it is given; PostgreSQL refuses such rows by the types of its columns.
UNTYPED = [
    ("devices", "UPDATE production SET shipped_on = 'soon'", "production 00-90-33-00-00-01: shipped_on cannot be read"),
    ("devices", "UPDATE production SET rma = 7", "production 00-90-33-00-00-01: rma cannot be read"),
    ("devices", "UPDATE production SET warranty_months = 'many'", "00-01: warranty_months cannot be read"),
    ("devices", "UPDATE production SET registered_at = 'x'", "00-01: registered_at cannot be read"),
    ("devices", "UPDATE production SET type = x'00ff'", "00-01: type cannot be read"),
    ("accounts", "UPDATE users SET account_rights = '['", "users u: account_rights cannot be read"),
    ("accounts", "UPDATE users SET otp_secret = 'text'", "users u: otp_secret cannot be read"),
    ("projects", "UPDATE outbox SET created_at = 'x'", "outbox e-project_created-p: created_at cannot be read"),
]


@pytest.mark.parametrize("number", range(len(UNTYPED)))
def test_garbage_is_a_finding_with_its_row_and_no_traceback(tmp_path: Path, number: int) -> None:
    room, statement, text = UNTYPED[number]
    database = make_database(room, f"sqlite:///{tmp_path}/untyped.sqlite", tmp_path)
    rows = {
        "accounts": _rows((people.User, _ADA)),
        "devices": _rows(_BUILT),
        "projects": _rows(_event("project_created", "p", version=1)),
    }
    with unguarded(database) as connection:
        rows[room](connection)
        assert flaws_of(audited(room, database), "every row can be read") == ""
        assert connection.exec_driver_sql(statement).rowcount == 1
    checks = audited(room, database)
    assert text in flaws_of(checks, "every row can be read")
    stopped = flaws_of(checks, "every check could be made")
    # What the database cannot even hand out stops a check; that is told too, and the other checks are made.
    assert ("a row cannot be read" in stopped) == (statement.endswith(("'soon'", "'x'", "'['", "'text'")))
    database.close()
