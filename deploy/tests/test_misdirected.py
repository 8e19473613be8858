"""Commands and starts that are led to the wrong folder, passphrase or database: one line that says so, nothing made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.rooms import ROOMS
from services.chassis.keys.keystore import KeyStore
from services.chassis.settings import Settings
from tests.integration.installation import free_port


def run(folder: Path, *module: str, **more: str) -> subprocess.CompletedProcess[str]:
    ports = {name: f"127.0.0.1:{free_port()}" for name in ("TESSERA_HTTP", "TESSERA_ADMIN_HTTP", "TESSERA_PORTAL")}
    given = {name: value for name, value in os.environ.items() if not name.startswith("TESSERA_")}
    environment = {**given, **ports, "TESSERA_DATA_DIR": str(folder), "PYTHONWARNINGS": "ignore", **more}
    command = [sys.executable, "-m", *module]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Check that a command failed with one line that has these words."""
    assert done.returncode in (1, 2), done.stdout
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize(
    "command",
    [
        ("list-keys",),
        ("rotate-keys", "accounts", "tokens"),
        ("revoke-key", "accounts", "tokens", "tokens-1"),
        ("reconcile-events", "licensing"),
        ("take-back-company", "1", "ada@example.com"),
        ("retry-parked-mails",),
    ],
    ids=lambda command: command[0],
)
def test_a_command_in_the_wrong_folder_makes_no_installation(tmp_path: Path, command: tuple[str, ...]) -> None:
    """A rotation after a theft said that it had rotated, where nothing but a new and empty key folder was made."""
    folder = tmp_path / "elsewhere"
    one_line(run(folder, "deploy.admin", *command), f"TESSERA_DATA_DIR is {folder}", "nothing was done")
    assert not folder.exists()
    folder.mkdir()
    one_line(run(folder, "deploy.admin", *command), f"TESSERA_KEY_DIR is {folder / 'keys'}", "nothing was done")
    assert list(folder.iterdir()) == []


def with_keys(folder: Path) -> Path:
    """Make the keys of an installation and return the file of their passphrase."""
    settings = Settings.from_environment({"TESSERA_DATA_DIR": str(folder)})
    for room in ROOMS:
        KeyStore.from_settings(settings, room).active("identity", "Ed25519")
    return settings.key_passphrase_file


def test_a_start_without_the_passphrase_makes_no_other_one(tmp_path: Path) -> None:
    path = with_keys(tmp_path)
    path.unlink()
    one_line(run(tmp_path, "deploy.run"), f"TESSERA_KEY_PASSPHRASE_FILE is {path}", "there is no such file")
    assert not path.exists()


def test_a_start_with_another_passphrase_names_the_key(tmp_path: Path) -> None:
    with_keys(tmp_path)
    other = tmp_path / "other"
    other.write_text("another one")
    done = run(tmp_path, "deploy.run", TESSERA_KEY_PASSPHRASE_FILE=str(other))
    one_line(done, f"{tmp_path / 'keys'}", "cannot be opened: the passphrase is another one")


@pytest.mark.parametrize(
    "module",
    [("deploy.run",), ("deploy.audit",), ("deploy.migrate",), ("deploy.admin", "reconcile-events", "licensing")],
    ids=lambda module: module[0],
)
def test_a_database_that_is_away_is_named_without_its_password(tmp_path: Path, module: tuple[str, ...]) -> None:
    with_keys(tmp_path)
    address = f"127.0.0.1:{free_port()}"
    uri = f"postgresql+psycopg2://someone:hidden@{address}/{{service}}"
    done = run(tmp_path, *module, TESSERA_DATABASE_URI=uri)
    one_line(done, "TESSERA_DATABASE_URI", address, "Start its server")
    assert "hidden" not in done.stderr + done.stdout
