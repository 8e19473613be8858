"""What is done to accounts on the machine itself: the first staff account, and mails that could not be made."""

from __future__ import annotations

import json
import secrets

from services.accounts.commands.staff import create_staff
from services.accounts.store import mails
from services.chassis.data.db import Database
from services.chassis.keys.keyfiles import write_private
from services.chassis.settings import Settings

FIRST_STAFF_FILE = "first-staff.json"
STAFF_EMAIL = "staff@tessera.example"


def make_staff(settings: Settings, address: str, password: str | None = None) -> str | None:
    """Make a working staff account, or give an existing account the staff mark.

    Args:
        settings: where accounts' database is.
        address: e-mail address of the account.
        password: None makes one up.

    Returns:
        The password when one was made up, None when it was given or the account keeps its own.
    """
    database = Database.from_settings(settings, "accounts", pool_size=1)
    try:
        return create_staff(database, address, password)[1]
    finally:
        database.close()


def make_first_staff(settings: Settings) -> None:
    """Make the staff account of a start without a demo world and write its password to a 0600 file; never printed."""
    path = settings.data_dir / FIRST_STAFF_FILE
    password = secrets.token_urlsafe(18)
    # Written before the account is made: killed in between, the next start goes on with the same password.
    write_private(path, (json.dumps({"email": STAFF_EMAIL, "password": password}) + "\n").encode())
    make_staff(settings, STAFF_EMAIL, password)


def release_mails(settings: Settings) -> int:
    """Let parked mails be tried again; returns how many there are."""
    database = Database.from_settings(settings, "accounts", pool_size=1)
    try:
        return database.write(mails.release)
    finally:
        database.close()
