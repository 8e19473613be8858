"""Fixtures of the journeys: each journey runs on the embedded default and on the fleet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.installation import Installation
from tests.integration.tenancy.callers import Caller, make_callers
from tests.integration.tenancy.canaries import Watch
from tests.integration.tenancy.world import World


@pytest.fixture(scope="session", params=["embedded", "fleet"])
def installation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A running installation with the demo world; journeys share it and make companies of their own."""
    # PostgreSQL does not run as root, so its folder must be reachable for another user.
    folder: Path = tmp_path_factory.mktemp(request.param) / "data"
    # As behind the reverse proxy of a real installation: what it forwards is believed, so a test can be elsewhere.
    running = Installation(request.param, folder, {"TESSERA_TRUSTED_PROXIES": "127.0.0.1"}).start()
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="session")
def world(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The companies of the tenant matrix on one installation."""
    return World.make(installation, tmp_path_factory.mktemp("tenants"), "TENANTS", 0xD00000)


@pytest.fixture(scope="session")
def watch(world: World) -> Watch:
    """The watch over all answers to the callers of the tenant matrix."""
    return Watch(world.canaries)


@pytest.fixture(scope="session")
def callers(world: World, watch: Watch) -> dict[str, Caller]:
    """Everybody who asks in the tenant matrix, by name."""
    return make_callers(world, watch)


@pytest.fixture
def no_surprise(installation: Installation) -> Iterator[None]:
    """Whatever a test sends, the installation's log tells of nothing unexpected afterwards."""
    path = installation.folder.parent / f"{installation.kind}.log"
    before = path.stat().st_size
    yield
    with path.open("rb") as log:
        log.seek(before)
        text = log.read().decode("utf-8", "replace")
    found = re.search(r"unexpected error|request_failed|connection_failed|Traceback", text)
    assert found is None, text[max(0, found.start() - 2000) : found.end() + 4000] if found else ""
