"""Issue 6.3: two installations share neither a port nor a data folder, and what a start makes is its user's alone."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.alone import check_ports, hold, keep_private
from services.chassis.listening import listener
from services.chassis.settings import Settings, SettingsError


def settings(folder: Path, **values: str) -> Settings:
    free = {"TESSERA_HTTP": "127.0.0.1:0", "TESSERA_ADMIN_HTTP": "127.0.0.1:0", "TESSERA_PORTAL": "127.0.0.1:0"}
    return Settings.from_environment({"TESSERA_DATA_DIR": str(folder), **free, **values})


@pytest.fixture
def taken() -> Iterator[int]:
    """The port of somebody who listens."""
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        yield other.getsockname()[1]


@pytest.mark.parametrize("name", ["TESSERA_HTTP", "TESSERA_ADMIN_HTTP", "TESSERA_PORTAL"])
def test_a_taken_port_is_named_with_its_setting(tmp_path: Path, taken: int, name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_ports(settings(tmp_path, **{name: f"127.0.0.1:{taken}"}))
    assert str(caught.value) == f"port {taken} is in use; set {name}"


def test_two_listeners_never_share_a_port() -> None:
    first = listener(("127.0.0.1", 0), "TESSERA_HTTP")
    try:
        with pytest.raises(SettingsError):
            listener(first.getsockname(), "TESSERA_HTTP")
    finally:
        first.close()


@pytest.mark.parametrize("name", ["TESSERA_HTTP", "TESSERA_ADMIN_HTTP", "TESSERA_PORTAL"])
def test_make_run_ends_at_once_when_a_port_is_taken(tmp_path: Path, taken: int, name: str) -> None:
    """The process of `make run`, with nothing started and nothing left over."""
    folder = tmp_path / "data"
    given = {
        **{key: value for key, value in os.environ.items() if not key.startswith("TESSERA_")},
        "TESSERA_DATA_DIR": str(folder),
        "TESSERA_HTTP": "127.0.0.1:0", "TESSERA_ADMIN_HTTP": "127.0.0.1:0", "TESSERA_PORTAL": "127.0.0.1:0",
        name: f"127.0.0.1:{taken}",
    }  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "-m", "deploy.run"], env=given, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.rstrip().endswith(f"port {taken} is in use; set {name}")
    assert "Traceback" not in ended.stderr
    assert not folder.exists()


def test_a_data_folder_is_held_by_one_installation(tmp_path: Path) -> None:
    held = hold(settings(tmp_path))
    with pytest.raises(SettingsError) as caught:
        hold(settings(tmp_path))
    assert f"is in use by process {os.getpid()}" in str(caught.value)
    held.close()
    hold(settings(tmp_path)).close()


def test_what_others_could_read_is_taken_from_them(tmp_path: Path) -> None:
    """A data folder of before, when databases and mails were made for everybody to read."""
    for name in ("accounts.sqlite3", "accounts.sqlite3-wal", "demo.json", "mail/one.eml", "heads/history.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("secret")
        path.chmod(0o644)
    (tmp_path / "mail").chmod(0o755)
    before = os.umask(0o022)
    try:
        keep_private(settings(tmp_path))
        (tmp_path / "made later").write_text("secret")
    finally:
        os.umask(before)
    open_to_others = [
        path.name for path in [tmp_path, *tmp_path.rglob("*")] if stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    assert open_to_others == []


@pytest.mark.parametrize("module", [["deploy.run"], ["deploy.fleet"], ["deploy.role", "accounts"]])
@pytest.mark.parametrize("uri", ["smtp://ada:s3cret@mail.example.com?tls=nne", "smtps://mail.example.com?ca=/gone.pem"])
def test_a_mail_server_that_cannot_work_stops_the_start(tmp_path: Path, module: list[str], uri: str) -> None:
    """Issue 6.3: a wrong option was found by the first mail, which then waited for three days."""
    folder = tmp_path / "data"
    given = {
        **{key: value for key, value in os.environ.items() if not key.startswith("TESSERA_")},
        "PYTHONWARNINGS": "ignore",
        "TESSERA_DATA_DIR": str(folder),
        "TESSERA_SMTP_URI": uri,
        "TESSERA_HTTP": "127.0.0.1:0", "TESSERA_ADMIN_HTTP": "127.0.0.1:0", "TESSERA_PORTAL": "127.0.0.1:0",
    }  # fmt: skip
    if module[0] == "deploy.role":
        given["TESSERA_AMQP_URI"] = "amqp://127.0.0.1:1"
    ended = subprocess.run(
        [sys.executable, "-m", *module], env=given, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("TESSERA_SMTP_URI") and uri.partition("?")[2] in line and "s3cret" not in line
    assert not folder.exists()
