"""Migrations: the generic Alembic environment and the chassis's own tables, the same for every service.

They run as a step before a service starts, under a lock, and once only; a database that is at its head costs one query.
"""

from __future__ import annotations

import importlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from services.chassis.data import epochs, tables
from services.chassis.data.engine import make_engine
from services.chassis.settings import Settings

_REVISION = re.compile(r"""^revision\b[^=]*=\s*["'](\w+)["']""", re.MULTILINE)
_PARENT = re.compile(r"""^down_revision\b[^=]*=\s*(?:["'](\w+)["']|None)""", re.MULTILINE)
_LOCK = 0x7E55E7A
_OLD_EMISSIONS = """
    UPDATE outbox SET emission = placed.place
    FROM (SELECT id, row_number() OVER (ORDER BY sequence IS NULL, sequence, id) AS place FROM outbox) AS placed
    WHERE placed.id = outbox.id
"""


def create_chassis_tables(op: Any) -> None:
    """Create the chassis's tables in a service's first revision (layout of 2026-11; later changes are revisions)."""
    bind = op.get_bind()
    tables.metadata.create_all(bind)
    start_log(bind)


def start_log(connection: sa.Connection) -> None:
    """Begin a service's log in fresh tables."""
    connection.execute(sa.insert(tables.outbox_head).values(id=1, last_sequence=0))
    epochs.start_first(connection, datetime.now(UTC))


def add_epochs(op: Any) -> None:
    """Bring the chassis's tables of an earlier revision to the layout with epochs and emissions (rules R25, L19)."""
    bind = op.get_bind()
    inspector = sa.inspect(bind)
    known = {column["name"] for column in inspector.get_columns("positions")}
    for column in (
        sa.Column("epoch", sa.String(36)),
        sa.Column("event_id", sa.String(36)),
        sa.Column("stopped_at", tables.UtcDateTime),
        sa.Column("stopped_because", sa.Text),
    ):
        if column.name not in known:
            op.add_column("positions", column)
    if "emission" not in {column["name"] for column in inspector.get_columns("outbox")}:
        # SQLite adds a column only with a default or without a value; every row gets one in the next statement.
        op.add_column("outbox", sa.Column("emission", sa.BigInteger, nullable=False, server_default="0"))
        op.execute(_OLD_EMISSIONS)
        op.drop_index("ix_outbox_unsequenced", "outbox")
        for index in tables.outbox.indexes:
            if index.name in ("ix_outbox_emission", "ix_outbox_unnumbered"):
                index.create(bind)
    tables.metadata.create_all(bind)
    if bind.dialect.name == "postgresql":
        op.execute("ALTER TABLE outbox ALTER COLUMN emission DROP DEFAULT")
        op.execute("SELECT setval('outbox_emissions', (SELECT coalesce(max(emission), 0) + 1 FROM outbox))")
    epochs.start_first(bind, datetime.now(UTC))


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
        if current(engine) == head(service):
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


def current(engine: sa.Engine) -> str | None:
    """Return the revision of a database, None where nothing was migrated yet."""
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
    return Path(__file__).resolve().parents[2] / service / "migrations"
