"""Load by wrk: 16 connections from one thread, and the rate of answers that did what was asked."""

import json
import os
import re
import secrets
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CONNECTIONS = 16


def rate(
    base: str, token: str, paths: Sequence[str], *, body: dict[str, Any] | None = None, seconds: int = 10
) -> float:
    """Return requests/s.

    Args:
        base: address of the server, without a path.
        token: access token.
        paths: taken in turn.
        body: JSON body of a POST with a fresh Idempotency-Key each; GET if None.
        seconds: length of the run.

    Raises:
        RuntimeError: a request was refused or failed, so that the figure would mean something else.
    """
    environment = {
        **os.environ,
        "BENCH_TOKEN": token,
        "BENCH_PATHS": " ".join(paths),
        "BENCH_BODY": json.dumps(body) if body else "",
        "BENCH_RUN": secrets.token_hex(8),
    }
    script = Path(__file__).with_name("load.lua")
    done = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "5s", "-s", str(script), base],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if found is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"wrk on {base}{paths[0]}: {done.stdout}{done.stderr}")
    return float(found[1])
