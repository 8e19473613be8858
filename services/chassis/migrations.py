"""Migrations: the generic Alembic environment and the chassis's own tables, the same for every service.

They run as a step before a service starts, under a lock, and once only; a database that is at its head costs one query.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from services.chassis import tables
from services.chassis.engine import make_engine
from services.chassis.settings import Settings

_REVISION = re.compile(r"""^revision\b[^=]*=\s*["'](\w+)["']""", re.MULTILINE)
_PARENT = re.compile(r"""^down_revision\b[^=]*=\s*(?:["'](\w+)["']|None)""", re.MULTILINE)
_LOCK = 0x7E55E7A


def create_chassis_tables(op: Any) -> None:
    """Create the chassis's tables in a service's first revision (layout of 2026-11; later changes are revisions)."""
    bind = op.get_bind()
    tables.metadata.create_all(bind)
    bind.execute(sa.insert(tables.outbox_head).values(id=1, last_sequence=0))


def head(service: str) -> str:
    """Return the newest revision of a service, read from its files without importing them."""
    folder = _folder(service) / "versions"
    revisions, parents = set(), set()
    for path in sorted(folder.glob("*.py")):
        text = path.read_text()
        if found := _REVISION.search(text):
            revisions.add(found[1])
            if (parent := _PARENT.search(text)) and parent[1]:
                parents.add(parent[1])
    heads = revisions - parents
    if len(heads) != 1:
        raise RuntimeError(f"{folder} has {len(heads)} newest revisions ({', '.join(sorted(heads))}), expected one.")
    return heads.pop()


def upgrade(service: str, uri: str) -> bool:
    """Bring a service's database to its newest revision; returns whether anything had to be done.

    Args:
        service: name of the room.
        uri: address with the login that owns the tables; the folder of an SQLite file is made.
    """
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    engine = make_engine(uri, pool_size=1)
    try:
        if _current(engine) == head(service):
            return False
        _run(service, engine)
    finally:
        engine.dispose()
    return True


def upgrade_all(services: list[str], settings: Settings) -> None:
    """Bring the databases of several services to their newest revisions."""
    for service in services:
        upgrade(service, settings.service_migration_uri(service))


def run_env(metadata: sa.MetaData) -> None:
    """Run Alembic's environment for a service; its `env.py` calls nothing else."""
    from alembic import context

    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=[metadata, tables.metadata],
        render_as_batch=connection.dialect.name == "sqlite",
        transaction_per_migration=False,
    )
    context.run_migrations()


def _current(engine: sa.Engine) -> str | None:
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        return revision


def _run(service: str, engine: sa.Engine) -> None:
    # Alembic takes half a second to import; a start on a migrated database does without.
    command = importlib.import_module("alembic.command")
    config = importlib.import_module("alembic.config").Config()
    config.set_main_option("script_location", str(_folder(service)))
    with engine.execution_options(immediate=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL statement_timeout = '60s'")
            connection.exec_driver_sql("SET LOCAL lock_timeout = '30s'")
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _folder(service: str) -> Path:
    return Path(__file__).resolve().parents[1] / service / "migrations"
