"""A whole Tessera installation for a test: started as a user starts it, on free ports and a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.integration.http_client import Person

ROOT = Path(__file__).resolve().parents[2]
MODULES = {"embedded": "deploy.run", "fleet": "deploy.fleet", "unprotected": "tests.faults.unprotected.fleet"}


@dataclass
class Installation:
    """A running installation.

    Args:
        kind: `embedded` (one process, SQLite) or `fleet` (RabbitMQ, PostgreSQL, a process per service), `unprotected`
            (the same without what keeps a fault from losing something).
        folder: its data folder.
        environment: further settings.
        root: where the code is that runs.
    """

    kind: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    root: Path = ROOT
    base: str = ""
    portal: str = ""
    admin_base: str = ""
    process: subprocess.Popen[bytes] | None = None
    demo: dict[str, Any] = field(default_factory=dict)
    _started_with: dict[str, str] = field(default_factory=dict)

    def start(self, seconds: float = 90.0) -> Installation:
        """Start it and wait until it says that it is ready."""
        http, admin, portal = free_port(), free_port(), free_port()
        self.base, self.portal = f"http://127.0.0.1:{http}", f"http://127.0.0.1:{portal}"
        self.admin_base = f"http://127.0.0.1:{admin}"
        self._started_with = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TESSERA_")},
            "PYTHONWARNINGS": "ignore",
            "TESSERA_STRICT": "1",
            "TESSERA_DATA_DIR": str(self.folder),
            "TESSERA_HTTP": f"127.0.0.1:{http}",
            "TESSERA_ADMIN_HTTP": f"127.0.0.1:{admin}",
            "TESSERA_PORTAL": f"127.0.0.1:{portal}",
            **self.environment,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        self._launch(seconds)
        demo = self.folder / "demo.json"
        self.demo = json.loads(demo.read_text()) if demo.exists() else {}
        return self

    def restart(self, seconds: float = 90.0) -> None:
        """End it and start it again on the same folder and at the same addresses."""
        assert self.stop() == 0
        self._launch(seconds)

    def _launch(self, seconds: float) -> None:
        module = MODULES[self.kind]
        with (self.folder.parent / f"{self.kind}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=self.root,
                env=self._started_with,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_ready(seconds)

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Wait until `/readyz` says 200; fail with the end of the log when it does not in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"{self.kind} ended with {self.process.returncode}:\n{self.log_end()}")
            try:
                if requests.get(f"{self.base}/readyz", timeout=2).status_code == 200:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.1)
        raise AssertionError(f"{self.kind} is not ready after {seconds} s:\n{self.log_end()}")

    def log_end(self) -> str:
        """Return the last lines of the log."""
        return (self.folder.parent / f"{self.kind}.log").read_text(errors="replace")[-6000:]

    def stop(self) -> int:
        """Ask it to end and return its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(10)
                raise AssertionError(f"{self.kind} did not end within 40 s:\n{self.log_end()}") from None
        return self.process.returncode

    def person(self) -> Person:
        """Return somebody who has not logged in."""
        return Person(self.base)

    def staff(self) -> Person:
        """Return the demo world's staff, logged in."""
        return self.person().login(**_login(self.demo["staff"]))

    def admin(self) -> Person:
        """Return the demo company's admin, logged in."""
        return self.person().login(**_login(self.demo["admin"]))

    @property
    def mail_folder(self) -> Path:
        """Return where mails are written."""
        return self.folder / "mail"

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a Python module of the product against this installation, for example `deploy.audit`."""
        settings = self.folder / "environment.json"
        extra = json.loads(settings.read_text()) if settings.exists() else {}
        environment = {**os.environ, "TESSERA_DATA_DIR": str(self.folder), **self.environment, **extra}
        command = [sys.executable, "-m", *arguments]
        result = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        if check:
            assert result.returncode == 0, (
                f"{arguments} ended with {result.returncode}:\n{result.stdout}\n{result.stderr}"
            )
        return result


def _login(account: dict[str, str]) -> dict[str, str]:
    return {"address": account["email"], "password": account["password"]}


def free_port() -> int:
    """Return a TCP port on loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
