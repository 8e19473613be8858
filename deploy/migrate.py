"""Bring the databases of all rooms to this version: `python -m deploy.migrate [room ...]`.

Runs before any service starts, with the login that owns the tables (TESSERA_MIGRATION_URI). A database that is at its
newest revision costs one query; Alembic is not even loaded then.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from sqlalchemy.exc import OperationalError

from deploy.installed import installed_settings, unreachable
from deploy.rooms import ROOMS
from services.chassis.data.migrations import upgrade
from services.chassis.settings import Settings, SettingsError


def migrate(settings: Settings, rooms: Sequence[str] = ROOMS) -> list[str]:
    """Migrate the databases of these rooms and return the names of those that had to be.

    Raises:
        SettingsError: a database does not answer.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        return [room for room in rooms if upgrade(room, settings.service_migration_uri(room))]
    except OperationalError as error:
        # The driver's first line names host, port and login, never the password.
        said = str(error.orig).splitlines()[0]
        raise SettingsError(f"{unreachable(settings)} The driver says: {said}") from error


def main(arguments: Sequence[str]) -> int:
    """Migrate the rooms named, or all."""
    unknown = [name for name in arguments if name not in ROOMS]
    if unknown:
        sys.stderr.write(f"unknown: {', '.join(unknown)}; the rooms are {', '.join(ROOMS)}.\n")
        return 2
    os.umask(0o077)
    try:
        changed = migrate(installed_settings(), arguments or ROOMS)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"migrated: {', '.join(changed)}\n" if changed else "all databases are at their newest revision\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
