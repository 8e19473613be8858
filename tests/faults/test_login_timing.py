"""The time of a login tells no known address from an unknown one, over HTTP, by a thousand pairs (S2).

And the measurement itself: with the hash for unknown addresses taken out of a copy of the code, it sees the difference.
"""

from __future__ import annotations

import shutil
import statistics
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path

import pytest
import requests

from tests.integration.http_client import mailed_token
from tests.integration.installation import ROOT, Installation

PAIRS = 1000
MOST = 0.05
"""By so much of itself the median may differ, on a machine that others use too."""
PER_ACCOUNT = 8
"""Below the ten failures after which an account is slowed down."""
_places = count(int(IPv4Address("10.0.0.1")))


@contextmanager
def running(folder: Path, root: Path = ROOT) -> Iterator[Installation]:
    """Give an installation behind a proxy, so that each request may come from an address of its own."""
    installation = Installation("embedded", folder / "data", {"TESSERA_TRUSTED_PROXIES": "127.0.0.1"}, root=root)
    installation.start()
    try:
        yield installation
    finally:
        installation.stop()


def send(base: str, path: str, body: dict[str, object]) -> requests.Response:
    """Send a request from an address that nobody came from before."""
    headers = {"X-Forwarded-For": str(IPv4Address(next(_places)))}
    return requests.post(f"{base}/v1{path}", json=body, headers=headers, timeout=30)


def accounts(installation: Installation, number: int) -> list[str]:
    """Return the e-mail addresses of so many new accounts."""

    def make(_: int) -> str:
        email = f"{uuid.uuid4().hex}@known.example"
        names = {"forename": "Tia", "surname": "Timing", "language": "en", "accept_terms": True}
        body = {"email": email, "password": "correct horse battery staple", **names}
        assert send(installation.base, "/registrations", body).status_code == 202
        token = mailed_token(installation.mail_folder, email, "activate")
        assert send(installation.base, "/registrations/confirmations", {"token": token}).status_code == 204
        return email

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(make, range(number)))


def difference(installation: Installation, pairs: int) -> float:
    """Return by how much of itself the median time of a login differs for unknown addresses, asked in turn."""
    known = accounts(installation, -(-pairs // PER_ACCOUNT))
    unknown = [f"{uuid.uuid4().hex}@other.example" for _ in known]
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(pairs):
        pair = [(0, known[number // PER_ACCOUNT]), (1, unknown[number // PER_ACCOUNT])]
        for kind, email in pair if number % 2 else reversed(pair):
            started = time.perf_counter()
            answer = send(installation.base, "/sessions", {"email": email, "password": "a wrong password"})
            times[kind].append(time.perf_counter() - started)
            assert (answer.status_code, answer.json()["code"]) == (401, "accounts.login_failed"), answer.text
    ours, theirs = (statistics.median(one) for one in times)
    return abs(ours - theirs) / ours


@pytest.mark.long
def test_a_thousand_pairs_of_logins_take_the_same_time(tmp_path: Path) -> None:
    with running(tmp_path) as installation:
        found = []
        for _ in range(3):
            found.append(difference(installation, PAIRS))
            if found[-1] < MOST:
                return
    raise AssertionError(f"known and unknown addresses differ: {found}")


@pytest.mark.long
def test_the_clock_sees_it_where_unknown_addresses_are_not_hashed(tmp_path: Path) -> None:
    """The dummy hash taken out: a thousand pairs would fail, and so do a few."""
    root = tmp_path / "copy"
    for name in ("services", "gateway", "portal", "deploy", "clients"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    kit = root / "services/accounts/kit.py"
    guarded = kit.read_text()
    blind = guarded.replace("stored or self._dummy, password)", 'stored or "", password)')
    assert blind != guarded
    kit.write_text(blind)
    with running(tmp_path, root) as installation:
        assert difference(installation, 60) > 4 * MOST
