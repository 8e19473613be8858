"""Fixtures of licensing's tests: a database built by the migrations, once on each kind of server, and a small world."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.chassis.data.db import Database
from services.chassis.data.testing import make_database
from services.licensing.tests.world import World


@pytest.fixture
def database(database_uri: str, tmp_path: Path) -> Iterator[Database]:
    """Give licensing's database, once on each kind of server."""
    database = make_database("licensing", database_uri, tmp_path)
    yield database
    database.close()


@pytest.fixture
def world(database: Database) -> World:
    """Give a company with a project over that database."""
    return World(database)
