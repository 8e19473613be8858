"""Secrets are in no log line, wherever somebody puts them (rule S21)."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SECRET = "marked-secret-4711"
LINES = {
    "a field": f"log.info('x', password='{SECRET}')",
    "another spelling": f"log.info('x', new_Password_again='{SECRET}')",
    "a token": f"log.info('x', refresh_token='{SECRET}')",
    "a header": f"log.info('x', headers={{'Authorization': '{SECRET}', 'Host': 'shown'}})",
    "a list": f"log.info('x', tried=[{{'otp': '{SECRET}'}}, ('shown', {{'secret': '{SECRET}'}})])",
    "a bound name": f"structlog.contextvars.bind_contextvars(activation_key='{SECRET}'); log.info('x')",
    "a passphrase": f"log.error('x', key_passphrase='{SECRET}')",
    "a foreign logger": f"structlog.contextvars.bind_contextvars(otp='{SECRET}'); logging.getLogger('y').error('x')",
}  # fmt: skip


@pytest.mark.parametrize("where", LINES)
def test_no_secret_is_written(where: str) -> None:
    program = (
        "import logging, structlog\nfrom services.chassis import logs\nlogs.configure('accounts')\n"
        f"log = structlog.get_logger()\n{LINES[where]}\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    (line,) = ended.stderr.splitlines()
    assert json.loads(line)["service"] == "accounts"
    assert SECRET not in line
    assert "***" in line
    assert ("shown" in line) == ("shown" in LINES[where]), "what is no secret is told"
