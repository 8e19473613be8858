"""Issue 6.3: two installations share neither a port nor a data folder, and what a start makes is its user's alone."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import eventlet
import pytest
import structlog

from deploy import role, run
from deploy.alone import check_ports, hold, keep_private
from deploy.rooms import GATEWAY, service_class
from services.chassis.listening import listener
from services.chassis.service.runner import Runner
from services.chassis.settings import Settings, SettingsError
from tests.rig.waiting import wait_until


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
    for folder in (tmp_path, tmp_path / "mail"):
        folder.chmod(0o755)
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


def test_whoever_makes_a_file_makes_it_for_its_user_alone(tmp_path: Path) -> None:
    """Each command that runs by itself, started by somebody whose files are for everybody to read."""
    folder = tmp_path / "data"
    given = {"PATH": "/usr/bin:/bin", "PYTHONWARNINGS": "ignore", "TESSERA_DATA_DIR": str(folder)}
    for command in (["deploy.migrate"], ["deploy.admin", "create-staff", "ada@example.com"]):
        subprocess.run(
            [sys.executable, "-m", *command],
            env=given, umask=0o022, capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip
    made = [folder, *folder.rglob("*")]
    assert {path.suffix for path in made} >= {".sqlite3", ".password"}
    assert [str(path) for path in made if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_a_process_of_the_fleet_makes_files_for_its_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(settings: Settings, _services: object, **_: object) -> int:
        (settings.data_dir / "made").write_text("secret")
        return 0

    monkeypatch.setattr(role, "serve", serve)
    # The logs of the tests stay as they are.
    monkeypatch.setattr("deploy.role.logs.configure", lambda *_: None)
    monkeypatch.setenv("TESSERA_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TESSERA_AMQP_URI", "amqp://127.0.0.1:1")
    before = os.umask(0o022)
    try:
        assert role.main(["history"]) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o600


def test_the_portal_tells_why_it_cannot_start(tmp_path: Path, taken: int) -> None:
    given = {"PATH": "/usr/bin:/bin", "TESSERA_DATA_DIR": str(tmp_path), "TESSERA_PORTAL": f"127.0.0.1:{taken}"}
    ended = subprocess.run(
        [sys.executable, "-m", "portal"], env=given, capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stderr) == (2, f"port {taken} is in use; set TESSERA_PORTAL\n")


def test_the_reason_of_a_portal_that_ended_stands_in_the_log_of_make_run(
    tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its port was free when everything was checked, and somebody took it since."""
    monkeypatch.setenv("TESSERA_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TESSERA_PORTAL", f"127.0.0.1:{taken}")
    monkeypatch.setattr(run, "_PORTAL_PAUSE_SECONDS", 0.1)
    with structlog.testing.capture_logs() as told:
        portal = run.Portal(Settings.from_environment())
        watching = eventlet.spawn(portal.keep)
        wait_until(lambda: bool(told), 120, what="the end of the portal is told")
        portal.stop()
        watching.wait()
    assert told[0]["reason"] == f"port {taken} is in use; set TESSERA_PORTAL"


@pytest.mark.parametrize("name", ["TESSERA_HTTP", "TESSERA_ADMIN_HTTP"])
def test_the_gateway_names_a_port_that_was_taken_since_everything_was_checked(
    tmp_path: Path, taken: int, name: str
) -> None:
    made = settings(tmp_path, **{name: f"127.0.0.1:{taken}"})
    runner = Runner(made, [service_class(GATEWAY)])
    try:
        with pytest.raises(SettingsError) as caught:
            runner.start()
    finally:
        runner.stop()
    assert str(caught.value) == f"port {taken} is in use; set {name}"


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
