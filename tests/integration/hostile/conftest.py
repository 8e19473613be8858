"""Fixtures of the hostile tests: their own companies, since they run into throttles and fill lists."""

from __future__ import annotations

import pytest

from tests.integration.installation import Installation
from tests.integration.tenancy.callers import Caller, make_callers
from tests.integration.tenancy.canaries import Watch
from tests.integration.tenancy.world import World


@pytest.fixture(scope="session")
def world(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The companies that are attacked."""
    return World.make(installation, tmp_path_factory.mktemp("hostile"), "HOSTILE", 0xB00000)


@pytest.fixture(scope="session")
def watch(world: World) -> Watch:
    """The watch over all answers to their callers."""
    return Watch(world.canaries)


@pytest.fixture(scope="session")
def callers(world: World, watch: Watch) -> dict[str, Caller]:
    """Everybody who asks, by name."""
    return make_callers(world, watch)
