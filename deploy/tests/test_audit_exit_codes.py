"""`make audit` says by its exit code whether all is well (0), something is wrong (1), or it could not be made (2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy import audit as audit_command
from deploy.rooms import ROOMS
from deploy.tests.test_audit import flaws
from services.chassis.data.db import Database
from services.chassis.data.testing import forge, make_database
from services.chassis.keys.keystore import KeyStore
from services.chassis.settings import Settings
from services.history.models import Chain
from services.licensing.models import ActivationKey

_ACT = Path(__file__).parents[2] / "docs" / "how-to" / "act-on-audit-findings.md"


class Installed:
    """Five databases of an installation in which nothing was done yet, with the keys of licensing."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings.from_environment({"TESSERA_DATA_DIR": str(folder)})
        for room in ROOMS:
            make_database(room, self.settings.service_database_uri(room), folder).close()
        self.keys = KeyStore.from_settings(self.settings, "licensing")
        self.sealed = self.keys.seal(b"ABCDE", "activation_key:k")

    def forge(self, room: str, model: object, **values: object) -> None:
        """Insert a row that no command made."""
        database = Database.from_settings(self.settings, room)
        with database.engine.begin() as connection:
            forge(connection, model, **values)
        database.close()

    def path(self, room: str) -> Path:
        """Return where the database of a room is."""
        return Path(self.settings.service_database_uri(room).removeprefix("sqlite:///"))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    monkeypatch.setenv("TESSERA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(audit_command, "_CATCH_UP_SECONDS", 0)
    return Installed(tmp_path / "data")


def test_a_clean_installation_is_0_and_one_with_a_finding_is_1(
    installed: Installed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit_command.main([]) == 0
    assert re.search(r"^clean: \d+ checks, nothing wrong$", capsys.readouterr().out, re.MULTILINE)
    installed.forge("history", Chain, chain="c", count=1, hash="f" * 64)
    assert audit_command.main([]) == 1
    told = capsys.readouterr().out
    # Room, check, key of the row, what is there, what was expected; and where it says what to do.
    assert "- history, hash chains: chain c, line 1: missing; the chain had 1 lines" in told
    assert told.splitlines()[-1].endswith("see docs/how-to/act-on-audit-findings.md")
    assert audit_command.main(["--json"]) == 1


def _lose_database(installed: Installed) -> None:
    installed.path("devices").unlink()


def _other_version(installed: Installed) -> None:
    database = Database.from_settings(installed.settings, "projects")
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()


def _garbage(installed: Installed) -> None:
    installed.path("accounts").write_bytes(b"no database" * 1000)


def _lose_key(installed: Installed) -> None:
    installed.forge("licensing", ActivationKey, id="k", sealed=installed.sealed, state="open", licenses=[])
    (installed.settings.key_dir / "licensing" / "sealing.key").unlink()


def _other_passphrase(installed: Installed) -> None:
    installed.forge("licensing", ActivationKey, id="k", sealed=installed.sealed, state="open", licenses=[])
    installed.settings.key_passphrase_file.write_bytes(b"another")


@pytest.mark.parametrize(
    ("lose", "text"),
    [
        (_lose_database, "devices has no database at"),
        (_other_version, "projects's database has the revision 9999, and this program knows"),
        (_garbage, "accounts's database does not answer (DatabaseError)"),
        (_lose_key, "licensing has sealed rows, and"),
        (_other_passphrase, "could not be made"),
    ],
)
def test_what_cannot_be_audited_is_2_with_what_to_do_and_nothing_is_made(
    installed: Installed, capsys: pytest.CaptureFixture[str], lose: Callable[[Installed], None], text: str
) -> None:
    lose(installed)
    before = _files(installed)
    assert audit_command.main([]) == 2
    told = capsys.readouterr()
    assert text in told.err and told.out == "" and "Traceback" not in told.err
    assert _files(installed) == before


def _files(installed: Installed) -> list[Path]:
    """Return all files but those beside a database that is read."""
    paths = (path for path in installed.settings.data_dir.rglob("*") if path.is_file())
    return sorted(path for path in paths if not path.name.endswith(("-wal", "-shm")))


def test_every_check_has_a_line_that_says_what_to_do(installed: Installed) -> None:
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| [^|]+ \|$", _ACT.read_text(), re.MULTILINE)
    named = {name for row in rows for name in row.split(", ")}
    reports = audit_command.audit(installed.settings, patience=0)
    assert flaws(reports) == []

    def is_named(name: str) -> bool:
        stems = (one.split("…") for one in named)
        return any(name.startswith(stem[0]) and name.endswith(stem[-1]) for stem in stems)

    missing = {check.name for report in reports for check in report.checks if not is_named(check.name)}
    assert not missing
