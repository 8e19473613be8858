"""Imports and names of companies that a restore of accounts lost are named, and names are told anew (rule R25)."""

from __future__ import annotations

from pathlib import Path

from deploy.restored import settle
from services.accounts.models import Company as OwnCompany
from services.chassis.data.aliases import aliases
from services.chassis.data.audit.checks import events
from services.chassis.data.place import Place
from services.chassis.data.reconcile import Follower
from services.chassis.data.testing import forge, make_database, unguarded
from services.projects.models import Company

_AHEAD = Follower("projects", 9, 9, Place(), (), stopped=True)


def test_what_accounts_lost_of_companies_is_named_and_names_are_told_anew(tmp_path: Path) -> None:
    rooms = {room: make_database(room, f"sqlite:///{tmp_path}/{room}.sqlite", tmp_path) for room in _ROOMS}
    accounts = rooms.pop("accounts")
    try:
        with unguarded(accounts) as connection:
            for company_id, name in (("ours", "Ours"), ("other", "Other"), ("old", "Old")):
                forge(connection, OwnCompany, id=company_id, name=name, absorbed_into=None)
            forge(connection, OwnCompany, id="gone", name="Gone", absorbed_into="ours")
        with unguarded(rooms["projects"]) as connection:
            named = (("ours", "Ours"), ("other", "Other"), ("old", "New"), ("gone", "Gone"), ("lost", "Lost"))
            for company_id, name in named:
                forge(connection, Company, id=company_id, name=name)
            for old_id in ("gone", "other"):
                forge(connection, aliases, old_id=old_id, new_id="ours")
        told = settle(accounts, rooms, [_AHEAD], dry_run=False)
        assert [sentence.partition(" after the backup")[0] for sentence in told] == [
            "company lost 'Lost' was made",
            "company old was called 'New'",
            "company other 'Other' was imported by ours",
        ]
        emitted = accounts.read(lambda connection: [event for _, event in events(connection)])
        assert [(event.type, event.subject, event.data["name"]) for event in emitted] == [
            ("company_changed", "old", "Old")
        ]
    finally:
        for database in (accounts, *rooms.values()):
            database.close()


_ROOMS = ("accounts", "projects")
