"""Create the tables of devices.

Revision ID: 0001
Revises: none
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from services.chassis.data.db import UtcDateTime
from services.chassis.data.migrations import create_chassis_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_LIVE = sa.text("deleted_at IS NULL")


def upgrade() -> None:
    """Create production data, company records, copies of projects and counted look-ups."""
    create_chassis_tables(op)
    _create_production()
    op.create_table(
        "projects",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("company_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("closing", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
        sa.UniqueConstraint("id", "company_id", name="uq_projects_id_company_id"),
        sa.CheckConstraint("state IN ('open', 'archived', 'closed')", name="ck_projects_state_known"),
    )
    _create_devices()
    op.create_table(
        "throttles",
        sa.Column("user_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "kind", name="pk_throttles"),
    )
    op.create_table(
        "lookups",
        sa.Column("user_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "kind", "key", name="pk_lookups"),
        sa.ForeignKeyConstraint(
            ["user_id", "kind"], ["throttles.user_id", "throttles.kind"], name="fk_lookups_user_id_kind_throttles"
        ),
    )


def _create_production() -> None:
    op.create_table(
        "production_orders",
        sa.Column("number", sa.String(64), nullable=False),
        sa.Column("registered_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_production_orders"),
    )
    op.create_table(
        "production",
        sa.Column("hardware_id", sa.String(17), nullable=False),
        sa.Column("kind", sa.String(4), nullable=False),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("order_number", sa.String(64), nullable=False),
        sa.Column("shipped_on", sa.Date()),
        sa.Column("warranty_months", sa.Integer(), nullable=False),
        sa.Column("extension_months", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("ssa_ends_on", sa.Date()),
        sa.Column("rma", sa.Boolean(), nullable=False),
        sa.Column("registered_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("hardware_id", name="pk_production"),
        sa.ForeignKeyConstraint(
            ["order_number"], ["production_orders.number"], name="fk_production_order_number_production_orders"
        ),
        sa.CheckConstraint("kind IN ('mac', 'ipei')", name="ck_production_kind_known"),
        sa.CheckConstraint("warranty_months BETWEEN 0 AND 120", name="ck_production_warranty_months_in_range"),
        sa.CheckConstraint("extension_months >= 0", name="ck_production_extension_months_not_negative"),
    )
    op.create_index("ix_production_order_number", "production", ["order_number"])


def _create_devices() -> None:
    op.create_table(
        "devices",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("company_id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(36), nullable=False),
        sa.Column("hardware_id", sa.String(17), nullable=False),
        sa.Column("order_number", sa.String(64)),
        sa.Column("comment", sa.String(500), nullable=False),
        sa.Column("license_comment", sa.String(500), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("added_at", UtcDateTime(), nullable=False),
        sa.Column("deleted_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("id", name="pk_devices"),
        sa.ForeignKeyConstraint(
            ["project_id", "company_id"],
            ["projects.id", "projects.company_id"],
            name="fk_devices_project_id_company_id_projects",
            onupdate="CASCADE",
        ),
        sa.ForeignKeyConstraint(["hardware_id"], ["production.hardware_id"], name="fk_devices_hardware_id_production"),
        sa.CheckConstraint("version >= 1", name="ck_devices_version_positive"),
    )
    live: dict[str, Any] = {"postgresql_where": _LIVE, "sqlite_where": _LIVE}
    op.create_index("uq_devices_company_id_hardware_id", "devices", ["company_id", "hardware_id"], unique=True, **live)
    op.create_index("ix_devices_project_id_hardware_id", "devices", ["project_id", "hardware_id"], **live)
    op.create_index("ix_devices_hardware_id", "devices", ["hardware_id"], **live)
