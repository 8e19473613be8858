"""Catalogue, ledger, activation keys, orders, copies of projects, and the triggers that keep entries as they are.

Revision ID: 0001
"""

import json
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from alembic import op

from services.chassis.data.migrations import create_chassis_tables
from services.chassis.data.tables import NAMING, UtcDateTime
from services.licensing.domain.catalogue import expand

revision = "0001"
down_revision = None

_POSTGRESQL = """
CREATE FUNCTION refuse_change_of_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'transfers and their entries are never changed or deleted';
END
$$;
"""
_POSTGRESQL_TABLE = """
CREATE TRIGGER {table}_unchanged BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_ledger();
CREATE TRIGGER {table}_kept BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_ledger();
DO $$
BEGIN
    -- The service's login has no right to it either, where it is not the owner of the tables (rule L1).
    IF current_user <> 'licensing' AND EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'licensing') THEN
        REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM licensing;
    END IF;
END
$$;
"""
_SQLITE_TABLE = (
    """
    CREATE TRIGGER {table}_unchanged BEFORE UPDATE ON {table}
    BEGIN SELECT RAISE(ABORT, 'transfers and their entries are never changed or deleted'); END
    """,
    """
    CREATE TRIGGER {table}_kept BEFORE DELETE ON {table}
    BEGIN SELECT RAISE(ABORT, 'transfers and their entries are never changed or deleted'); END
    """,
)


def upgrade() -> None:
    """Create the tables, make the ledger immutable, and load the catalogue as shipped."""
    create_chassis_tables(op)
    # One collection, so that the names of constraints follow the house's convention.
    metadata = sa.MetaData(naming_convention=NAMING)
    catalogue = _catalogue_tables(metadata)
    pools = _ledger_tables(metadata)
    _key_tables(metadata)
    metadata.create_all(op.get_bind())
    _forbid_changes()
    _seed(catalogue, pools)


def downgrade() -> None:
    """Refuse: going back would throw the ledger away."""
    raise NotImplementedError("ledger entries are never deleted; restore a backup instead")


def _text(name: str, length: int, *, nullable: bool = False, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=nullable, primary_key=primary_key)


def _catalogue_tables(metadata: sa.MetaData) -> Sequence[sa.Table]:
    license_types = sa.Table(
        "license_types",
        metadata,
        _text("id", 40, primary_key=True),
        sa.Column("name", sa.String(40), nullable=False, unique=True),
        sa.Column("version", sa.Integer),
        _text("kind", 40),
        _text("measure", 8),
        _text("category", 8),
        sa.Column("size", sa.Integer),
        sa.Column("from_size", sa.Integer),
        _text("limit", 20, nullable=True),
        sa.Column("cap", sa.Integer),
        sa.Column("returnable", sa.Boolean, nullable=False),
        sa.Column("movable", sa.Boolean, nullable=False),
        sa.Column("from_stock", sa.Boolean, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.CheckConstraint("measure IN ('size', 'count')", name="measure_known"),
        sa.CheckConstraint("category IN ('pbx', 'gateway', 'device')", name="category_known"),
        sa.CheckConstraint("(measure = 'size') = (size IS NOT NULL)", name="size_given"),
    )
    device_types = sa.Table(
        "device_types",
        metadata,
        _text("id", 40, primary_key=True),
        _text("category", 20),
        sa.Column("warranty_months", sa.Integer, nullable=False),
        sa.Column("maxima", sa.JSON, nullable=False),
        _text("origin", 8),
        sa.CheckConstraint("origin IN ('default', 'staff')", name="origin_known"),
    )
    versions = sa.Table(
        "catalogue_versions",
        metadata,
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("offered", sa.Boolean, nullable=False),
    )
    state = sa.Table(
        "catalogue_state",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("revision", sa.Integer, nullable=False),
    )
    return license_types, device_types, versions, state


def _ledger_tables(metadata: sa.MetaData) -> sa.Table:
    pools = sa.Table(
        "pools",
        metadata,
        _text("id", 80, primary_key=True),
        _text("kind", 8),
        sa.Column("revision", sa.Integer, nullable=False, server_default="0"),
        sa.CheckConstraint("kind IN ('issued', 'project', 'device', 'key', 'void', 'pending')", name="kind_known"),
    )
    sa.Table(
        "balances",
        metadata,
        sa.Column("pool_id", sa.String(80), sa.ForeignKey("pools.id"), primary_key=True),
        sa.Column("license_type", sa.String(40), sa.ForeignKey("license_types.id"), primary_key=True),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.CheckConstraint("n >= 0 OR pool_id = 'issued'", name="not_negative"),
    )
    sa.Table(
        "transfers",
        metadata,
        _text("id", 80, primary_key=True),
        _text("kind", 20),
        _text("company_id", 36, nullable=True),
        _text("actor_id", 36, nullable=True),
        _text("reason", 500),
        sa.Column("at", UtcDateTime, nullable=False),
    )
    sa.Table(
        "transfer_entries",
        metadata,
        sa.Column("transfer_id", sa.String(80), sa.ForeignKey("transfers.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        _text("pool_id", 80),
        _text("license_type", 40),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        # Checked at the commit: a transfer changes its balances last, see store/ledger.py.
        sa.ForeignKeyConstraint(
            ["pool_id", "license_type"],
            ["balances.pool_id", "balances.license_type"],
            deferrable=True,
            initially="DEFERRED",
        ),
        sa.CheckConstraint("quantity <> 0", name="quantity_not_zero"),
    )
    lines = sa.Table(
        "device_lines",
        metadata,
        _text("id", 36, primary_key=True),
        _text("hardware_id", 17),
        _text("license_type", 40),
        sa.Column("quantity", sa.Integer, nullable=False),
        _text("state", 12),
        _text("file_issued", 9),
        sa.Column(
            "transfer_id",
            sa.String(80),
            sa.ForeignKey("transfers.id", deferrable=True, initially="DEFERRED"),
            nullable=False,
        ),
        _text("company_id", 36),
        _text("project_id", 36),
        _text("draws", 4000),
        _text("assigned_by", 36),
        sa.Column("assigned_at", UtcDateTime, nullable=False),
        sa.Column("ended_at", UtcDateTime),
        _text("ended_by", 80, nullable=True),
        sa.CheckConstraint("quantity BETWEEN 1 AND 1000000", name="quantity_in_range"),
        sa.CheckConstraint("state IN ('installed', 'taken_back', 'returned', 'moved', 'removed')", name="state_known"),
        sa.CheckConstraint("file_issued IN ('none', 'encrypted', 'plain')", name="file_issued_known"),
    )
    installed = sa.text("state = 'installed'")
    sa.Index("ix_device_lines_installed", lines.c.hardware_id, postgresql_where=installed, sqlite_where=installed)
    return pools


def _key_tables(metadata: sa.MetaData) -> None:
    sa.Table(
        "projects",
        metadata,
        _text("id", 36, primary_key=True),
        _text("company_id", 36),
        _text("name", 64),
        _text("state", 8),
        sa.Column("pool_id", sa.String(80), sa.ForeignKey("pools.id"), nullable=False, unique=True),
        sa.CheckConstraint("state IN ('open', 'archived', 'closed')", name="state_known"),
        sa.Index("ix_projects_company_id", "company_id"),
    )
    sa.Table(
        "activation_keys",
        metadata,
        _text("id", 36, primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        _text("last_group", 5),
        _text("state", 9),
        sa.Column("licenses", sa.JSON, nullable=False),
        _text("order_number", 64, nullable=True),
        _text("company_id", 36, nullable=True),
        _text("project_id", 36, nullable=True),
        _text("created_by", 36),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime),
        sa.Column("used_project_id", sa.String(36), sa.ForeignKey("projects.id")),
        _text("used_company_id", 36, nullable=True),
        _text("used_by", 36, nullable=True),
        sa.Column("used_at", UtcDateTime),
        _text("comment", 500),
        sa.UniqueConstraint("digest"),
        sa.CheckConstraint("state IN ('open', 'used', 'cancelled', 'expired')", name="state_known"),
        sa.CheckConstraint("(state = 'used') = (used_project_id IS NOT NULL)", name="used_where_known"),
        sa.Index("ix_activation_keys_used", "used_project_id", "used_at", "id"),
    )
    sa.Table(
        "key_attempts",
        metadata,
        _text("id", 400, primary_key=True),
        _text("user_id", 36),
        _text("company_id", 36, nullable=True),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Index("ix_key_attempts_user", "user_id", "at"),
        sa.Index("ix_key_attempts_company", "company_id", "at"),
    )
    sa.Table(
        "orders",
        metadata,
        _text("number", 64, primary_key=True),
        _text("fingerprint", 64),
        _text("state", 8),
        _text("customer_name", 200),
        _text("customer_reference", 200),
        sa.Column("devices", sa.JSON, nullable=False),
        sa.Column("licenses", sa.JSON, nullable=False),
        sa.Column("key_id", sa.String(36), sa.ForeignKey("activation_keys.id")),
        _text("created_by", 36),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.CheckConstraint("state IN ('entered', 'done')", name="state_known"),
        sa.Index("ix_orders_created", "created_at", "number"),
    )


def _forbid_changes() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    if postgresql:
        op.execute(_POSTGRESQL)
    for table in ("transfers", "transfer_entries"):
        for statement in (_POSTGRESQL_TABLE,) if postgresql else _SQLITE_TABLE:
            op.execute(statement.format(table=table))


def _seed(catalogue: Sequence[sa.Table], pools: sa.Table) -> None:
    license_types, device_types, versions, state = catalogue
    path = Path(__file__).resolve().parents[2] / "catalogue.json"
    types, models, offered = expand(json.loads(path.read_text()))
    names = [column.name for column in license_types.columns if column.name != "position"]
    op.bulk_insert(
        license_types,
        [{**{name: getattr(t, name) for name in names}, "position": place} for place, t in enumerate(types)],
    )
    op.bulk_insert(
        device_types,
        [
            {
                "id": model.id,
                "category": model.category,
                "warranty_months": model.warranty_months,
                "maxima": dict(model.maxima),
                "origin": model.origin,
            }
            for model in models
        ],
    )
    op.bulk_insert(versions, [{"version": version, "offered": flag} for version, flag in offered.items()])
    op.bulk_insert(state, [{"id": 1, "revision": 1}])
    op.bulk_insert(pools, [{"id": kind, "kind": kind} for kind in ("issued", "void", "pending")])
