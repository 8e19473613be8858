"""A further gateway process beside those of a running fleet, for what must hold at every door."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Self

import requests

from tests.integration.http_client import eventually
from tests.integration.installation import ROOT, Installation, free_port


class SecondDoor:
    """A further gateway process of a fleet, on ports of its own."""

    process: subprocess.Popen[bytes]

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        http, admin = free_port(), free_port()
        self.base = f"http://127.0.0.1:{http}"
        written = json.loads((installation.folder / "environment.json").read_text())
        self._environment = {
            **os.environ,
            **written,
            "PYTHONWARNINGS": "ignore",
            "TESSERA_DATA_DIR": str(installation.folder),
            "TESSERA_HTTP": f"127.0.0.1:{http}",
            "TESSERA_ADMIN_HTTP": f"127.0.0.1:{admin}",
        }

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(10)

    def restart(self) -> None:
        """Start it again after it was killed."""
        self.process.wait(10)
        self._start()

    def _start(self) -> None:
        command = [sys.executable, "-m", "deploy.role", "gateway"]
        with (self._installation.folder.parent / "second-door.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)
        eventually(self._is_ready, "the second door is open")

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"{self.base}/readyz", timeout=2).status_code == 200
        except requests.RequestException:
            return False
