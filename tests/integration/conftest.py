"""Fixtures of the journeys: each journey runs on the embedded default and on the fleet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.installation import Installation


@pytest.fixture(scope="session", params=["embedded", "fleet"])
def installation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A running installation with the demo world; journeys share it and make companies of their own."""
    # PostgreSQL does not run as root, so its folder must be reachable for another user.
    folder: Path = tmp_path_factory.mktemp(request.param) / "data"
    # As behind the reverse proxy of a real installation: what it forwards is believed, so a test can be elsewhere.
    running = Installation(request.param, folder, {"TESSERA_TRUSTED_PROXIES": "127.0.0.1"}).start()
    yield running
    assert running.stop() == 0
