"""Each check of the rooms' audits finds what it is for: rows that no command makes are forged into a database (L18).

licensing's checks need a world in which much was done; their tests are in its own room. The house test compares the
names of all checks with those in `TAMPERED`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from deploy.tests.tampering import (
    ADA,
    ALIAS,
    BOX,
    BUILT,
    GARBAGE,
    GONE,
    HOME,
    IN_OLD,
    MAC,
    NEW,
    NOW,
    ROLE,
    SESSION,
    SITE,
    TOLD,
    Forgery,
    event_row,
    forged,
    gap,
    two_lines,
)
from deploy.tests.tampering_beside import BESIDE, PLACES
from services.accounts import audit as accounts
from services.accounts import models as people
from services.chassis.data.aliases import aliases
from services.chassis.data.audit.checks import Check
from services.chassis.data.audit.places import LogEnd, check_places
from services.chassis.data.db import Database
from services.chassis.data.place import Place
from services.chassis.data.tables import outbox, positions, retry_events
from services.chassis.data.testing import flaws_of, make_database, unguarded
from services.devices import audit as devices
from services.devices import models as things
from services.history.audit import _applied, _chains, _doubled, _signed_lately
from services.history.heads import Signed
from services.history.models import Chain
from services.projects import audit as projects
from services.projects import models as sites

TAMPERED: list[tuple[str, str, Forgery, str]] = [
    ("accounts", "absorbed companies stand for one", forged(GONE, NEW), "gone without an import"),
    (
        "accounts",
        "absorbed companies stand for one",
        forged(GONE, (people.Company, {"id": "new", "absorbed_into": "old"})),
        "which is gone itself",
    ),
    ("accounts", "absorbed companies are empty", forged(GONE, NEW, (people.Membership, IN_OLD)), "has 1 users"),
    (
        "accounts",
        "absorbed companies are empty",
        forged(GONE, NEW, (people.Invitation, {"company_id": "old"})),
        "has 1 invitations",
    ),
    (
        "accounts",
        "absorbed companies are empty",
        forged(GONE, NEW, (people.Session, {**SESSION, "company_id": "old"})),
        "has 1 sessions",
    ),
    (
        "accounts",
        "absorbed companies are empty",
        forged(GONE, NEW, (people.ApiToken, {"company_id": "old"})),
        "has 1 API tokens",
    ),
    ("accounts", "imports came to their end", forged((people.CompanyImport, {"id": "i"})), "was not applied by every"),
    ("accounts", "memberships are of people in companies", forged((people.Membership, ROLE)), "who has no account"),
    (
        "accounts",
        "memberships are of people in companies",
        forged((people.User, ADA), (people.Membership, ROLE)),
        "company new, which is not there",
    ),
    (
        "accounts",
        "memberships are of people in companies",
        forged((people.User, {**ADA, "staff": True}), NEW, (people.Membership, ROLE)),
        "who is staff of the vendor",
    ),
    (
        "accounts",
        "memberships are of people in companies",
        forged((people.User, ADA), NEW, (people.Membership, {**ROLE, "role": "boss"})),
        "has the role 'boss'",
    ),
    (
        "accounts",
        "companies have an administrator",
        forged((people.Membership, {**ROLE, "locked": True})),
        "no unlocked administrator",
    ),
    ("accounts", "living sessions are of people who may", forged((people.Session, SESSION)), "is locked or gone"),
    (
        "accounts",
        "living sessions are of people who may",
        forged((people.User, ADA), (people.Session, SESSION)),
        "where user u may not work",
    ),
    (
        "accounts",
        "sessions have one chain",
        forged(
            (people.RefreshToken, {"session_id": "s", "token_hash": "1"}),
            (people.RefreshToken, {"session_id": "s", "token_hash": "2"}),
        ),
        "has 2 chains",
    ),
    (
        "accounts",
        "erased accounts are empty",
        forged((people.User, {**ADA, "erased_at": NOW, "surname": "Lovelace"})),
        "something is left",
    ),
    (
        "accounts",
        "secrets are hashed",
        forged((people.User, {**ADA, "password_hash": "hunter2"})),
        "users.password_hash holds something",
    ),
    (
        "accounts",
        "what is sealed can be opened",
        forged((people.User, {**ADA, "otp_secret": b"x"})),
        "second factor",
    ),
    (
        "accounts",
        "what is sealed can be opened",
        forged((people.Mail, {"id": "m", "sealed": b"x", "next_at": NOW})),
        "waits and cannot be opened",
    ),
    (
        "accounts",
        "what is sealed can be opened",
        forged((people.Mail, {"id": "m", "sealed": b"x", "next_at": None})),
        "its content is still there",
    ),
    (
        "accounts",
        "what is sealed can be opened",
        forged((people.Mail, {"id": "m", "sealed": b"x", "parked_at": NOW, "error": "no template"})),
        "is parked: no template",
    ),
    ("devices", "production ids canonical", forged((things.Production, {"hardware_id": "zz"})), "production 'zz'"),
    (
        "devices",
        "production ids canonical",
        forged((things.Production, {"hardware_id": MAC, "kind": "ipei"})),
        "should be",
    ),
    ("devices", "records belong to their projects", forged(BUILT, (things.Device, BOX)), "is not that of project p"),
    (
        "devices",
        "records belong to their projects",
        forged(BUILT, (things.Project, {"id": "p", "company_id": "a", "state": "closed"}), (things.Device, BOX)),
        "is in the closed project",
    ),
    ("devices", "records belong to their projects", forged(SITE, (things.Device, BOX)), "not in the production data"),
    (
        "devices",
        "records belong to their projects",
        forged(BUILT, SITE, (things.Device, {**BOX, "order_number": "4712"})),
        "the number of another order",
    ),
    (
        "devices",
        "records belong to their projects",
        forged(BUILT, SITE, (things.Device, {**BOX, "proven_by": "hearsay"})),
        "was proven by 'hearsay'",
    ),
    (
        "devices",
        "one record per company and device",
        lambda connection: (
            connection.exec_driver_sql("DROP INDEX uq_devices_company_id_hardware_id"),
            forged((things.Device, BOX), (things.Device, {**BOX, "id": "e"}))(connection),
        ),
        "2 times",
    ),
    ("devices", "every record told once", forged((things.Device, BOX)), "was told added and deleted (0, 0) times"),
    (
        "devices",
        "every record told once",
        forged((things.Device, {**BOX, "proven_by": "order"}), event_row("device_added", "d", possession="claimed")),
        "is proven, and was told otherwise",
    ),
    ("devices", "every record told once", forged(event_row("device_added", "d")), "was told but has no record"),
    (
        "projects",
        "names are unique in the company",
        forged((sites.Project, {**HOME, "name_normalized": "x"})),
        "known as 'x'",
    ),
    (
        "projects",
        "names are unique in the company",
        forged((sites.Project, HOME), (sites.Project, {**HOME, "id": "q", "name_normalized": "x"})),
        "has 2 projects called",
    ),
    ("projects", "companies have a first project", forged((sites.Project, HOME)), "never given a first one"),
    (
        "projects",
        "rights and choices are of projects",
        forged((sites.ProjectRight, {"project_id": "p", "company_id": "b"})),
        "which is not there",
    ),
    (
        "projects",
        "rights and choices are of projects",
        forged(
            (sites.Project, {**HOME, "closing_id": "c"}), (sites.ProjectRight, {"project_id": "p", "company_id": "b"})
        ),
        "which is being deleted",
    ),
    (
        "projects",
        "rights and choices are of projects",
        forged((sites.Selection, {"user_id": "u", "company_id": "b", "project_id": "p"})),
        "not there or archived",
    ),
    (
        "projects",
        "rights and choices are of projects",
        forged((sites.Project, HOME), (sites.Selection, {"user_id": "u", "company_id": "b", "project_id": "p"})),
        "in which the company has no right",
    ),
    ("projects", "projects are as they were told", forged((sites.Project, HOME)), "was told 0 times"),
    (
        "projects",
        "projects are as they were told",
        forged((sites.Project, HOME), event_row("project_created", "p", name="House", state="open", version=0)),
        "told was",
    ),
    (
        "projects",
        "projects are as they were told",
        forged(event_row("project_created", "p", name="Home", state="open", version=1)),
        "never told as deleted",
    ),
    (
        "projects",
        "guests are other companies",
        forged((sites.Project, HOME), (sites.ProjectRight, {"project_id": "p", "company_id": "a"})),
        "is a guest in its own project",
    ),
    ("projects", "old ids hold no rows", forged(ALIAS, (sites.Project, {**HOME, "company_id": "old"})), "under old"),
    (
        "projects",
        "old ids hold no rows",
        forged(ALIAS, (aliases, {"old_id": "new", "new_id": "newest"})),
        "which became another id itself",
    ),
    ("projects", "outbox without gaps", forged(event_row("project_created", "p", version=1)), "its head says 0"),
    (
        "projects",
        "outbox without gaps",
        gap,
        "holds 2 events between sequence 1 and 3",
    ),
    (
        "projects",
        "every event published",
        lambda connection: (
            forged(event_row("project_created", "p", version=1))(connection),
            connection.execute(sa.update(outbox).values(sent_at=None)),
        ),
        "waits to be published",
    ),
    (
        "projects",
        "no parked events",
        forged((retry_events, {"event_id": "e", "source": "accounts", "parked_at": NOW, "reason": "KeyError"})),
        "is parked: ['KeyError']",
    ),
    (
        "projects",
        "every source is followed",
        forged((positions, {"source": "accounts", "stopped_at": NOW, "stopped_because": "it was restored"})),
        "are not applied since",
    ),
    *GARBAGE,
    *TOLD,
    *BESIDE,
    ("history", "events have one line", two_lines, "event e has 2 lines"),
    ("history", "hash chains", forged((Chain, {"chain": "c", "count": 1, "hash": "f" * 64})), "c"),
]


def audited(room: str, database: Database) -> list[Check]:
    """Return all checks of a room."""

    def work(connection: sa.Connection) -> list[Check]:
        if room == "history":
            return [
                *(check(connection, Signed()) for check in (_chains, _signed_lately)),
                _doubled(connection),
                _applied(connection),
            ]
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


@pytest.mark.parametrize("number", range(len(PLACES)))
def test_a_place_in_a_log_that_does_not_have_it_is_told(number: int) -> None:
    place, text = PLACES[number]
    end = LogEnd(9, "e9", frozenset("a"))
    (flaw,) = check_places("history", {"devices": place}, {"devices": lambda _: end}).flaws
    assert text in flaw and "reconcile-events devices" in flaw
    assert check_places("history", {"devices": Place(9, "e9", "a")}, {"devices": lambda _: end}).flaws == ()
    assert check_places("history", {}, {}).name == "applied events are in their sources"


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
        "accounts": forged((people.User, ADA)),
        "devices": forged(BUILT),
        "projects": forged(event_row("project_created", "p", version=1)),
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
