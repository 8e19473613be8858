"""Fixtures for every test of the repository: nodes once per run, a virtual host or database per test.

Set TESSERA_RIG_AMQP and TESSERA_RIG_POSTGRES (printed by `python -m tests.rig`) to use running nodes.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.bare.postgresql import PostgreSQL, Server
from deploy.bare.rabbitmq import Broker, RabbitMQ
from tests.rig.scratch import scratch


def node_folder(kind: str, *, parent: Path = Path("/var/tmp")) -> Path:
    """Make a folder for a throw-away node, outside the clone and reachable for another user.

    Args:
        parent: on a disk for measurements and fault runs; `scratch()` for everything else.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"tessera-{kind}-", dir=parent))
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[Broker]:
    """Give a running RabbitMQ for the whole run."""
    if uri := os.environ.get("TESSERA_RIG_AMQP"):
        yield Broker(uri)
        return
    folder = node_folder("rabbitmq", parent=scratch())
    node = RabbitMQ(folder, throw_away=True)
    try:
        yield node.start()
    finally:
        node.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """Give a running PostgreSQL for the whole run."""
    if uri := os.environ.get("TESSERA_RIG_POSTGRES"):
        yield Server(uri)
        return
    folder = node_folder("postgresql", parent=scratch())
    cluster = PostgreSQL(folder, throw_away=True)
    try:
        yield cluster.start()
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def vhost(rabbitmq: Broker) -> Iterator[str]:
    """Give the AMQP address of a virtual host that exists for this test only."""
    name = f"test-{secrets.token_hex(6)}"
    yield rabbitmq.create_vhost(name)
    rabbitmq.delete_vhost(name)


@pytest.fixture
def postgresql_uri(postgresql: Server) -> Iterator[str]:
    """Give the SQLAlchemy address of an empty PostgreSQL database for this test only."""
    name = f"test_{secrets.token_hex(6)}"
    yield postgresql.create_database(name)
    postgresql.drop_database(name)


@pytest.fixture
def sqlite_uri(tmp_path: Path) -> str:
    """Give the SQLAlchemy address of an empty SQLite database file for this test only."""
    return f"sqlite:///{tmp_path / 'test.sqlite'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_uri(request: pytest.FixtureRequest) -> str:
    """Give the address of an empty database; every test that asks runs on SQLite and on PostgreSQL."""
    return str(request.getfixturevalue(f"{request.param}_uri"))
