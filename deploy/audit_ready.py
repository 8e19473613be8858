"""Whether an installation can be audited at all: every database is there and of this version, and keys are there.

An audit changes nothing: it makes no database and no key where one is missing.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import sqlalchemy as sa

from deploy.installed import unreachable
from services.chassis.data.engine import make_engine
from services.chassis.data.migrations import current, head
from services.chassis.settings import Settings

_SEALED = {
    "accounts": "SELECT count(*) FROM (SELECT 1 FROM mails LIMIT 1) AS some",
    "licensing": "SELECT count(*) FROM (SELECT 1 FROM activation_keys LIMIT 1) AS some",
}
"""By room how many of the rows there are that are sealed with the room's key, one at most."""


class AuditError(RuntimeError):
    """The audit cannot be made; the text says what is missing and what to do."""


def require_auditable(settings: Settings, rooms: Collection[str]) -> None:
    """Refuse to audit what is not there, does not answer, or is of another version.

    Args:
        settings: where databases and keys are.
        rooms: that are to be audited.

    Raises:
        AuditError: a database or a key is missing, does not answer, or is of another version.
    """
    if not settings.data_dir.exists():
        raise AuditError(f"TESSERA_DATA_DIR is {settings.data_dir}: there is no such folder; start Tessera first.")
    for room in rooms:
        uri = settings.service_database_uri(room)
        path = Path(uri.removeprefix("sqlite:///"))
        if uri.startswith("sqlite:///") and not path.exists():
            raise AuditError(f"{room} has no database at {path}: start Tessera, or restore the file from a backup.")
        engine = make_engine(uri, pool_size=1)
        try:
            _require(settings, room, engine)
        except sa.exc.DBAPIError as error:
            # Its text may hold an address with a password.
            away = (
                unreachable(settings) if isinstance(error, sa.exc.OperationalError) else "bring it back from a backup."
            )
            raise AuditError(f"{room}'s database does not answer ({type(error).__name__}): {away}") from error
        finally:
            engine.dispose()


def _require(settings: Settings, room: str, engine: sa.Engine) -> None:
    revision, expected = current(engine), head(room)
    if revision != expected:
        raise AuditError(
            f"{room}'s database has the revision {revision}, and this program knows {expected}: audit with the program "
            "that the services run, or migrate (make migrate)."
        )
    key = settings.key_dir / room / "sealing.key"
    if room not in _SEALED or (key.exists() and settings.key_passphrase_file.exists()):
        return
    with engine.connect() as connection:
        if connection.exec_driver_sql(_SEALED[room]).scalar():
            raise AuditError(
                f"{room} has sealed rows, and {key} or the passphrase {settings.key_passphrase_file} is missing: bring "
                "the key folder back from a backup."
            )
