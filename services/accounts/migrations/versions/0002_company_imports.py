"""Imports of other companies (ACC-6)."""

import sqlalchemy as sa
from alembic import op

from services.chassis.data.tables import UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables of imports, of the rooms that applied them, and of proven second factors."""
    op.create_table(
        "company_imports",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("company_id", sa.String(length=36), nullable=False),
        sa.Column("gone_id", sa.String(length=36), nullable=False),
        sa.Column("gone_ids", sa.JSON(), nullable=False),
        sa.Column("gone_name", sa.String(length=128), nullable=False),
        sa.Column("moved", sa.JSON(), nullable=False),
        sa.Column("started_by", sa.String(length=36), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("told_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["company_id"], ["companies.id"], name=op.f("fk_company_imports_company_id_companies")),
        sa.ForeignKeyConstraint(["gone_id"], ["companies.id"], name=op.f("fk_company_imports_gone_id_companies")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_company_imports")),
        sa.UniqueConstraint("gone_id", name=op.f("uq_company_imports_gone_id")),
    )
    op.create_index(op.f("ix_company_imports_company_id"), "company_imports", ["company_id"], unique=False)
    op.create_index(op.f("ix_company_imports_finished_at"), "company_imports", ["finished_at"], unique=False)
    op.create_table(
        "company_import_rooms",
        sa.Column("import_id", sa.String(length=36), nullable=False),
        sa.Column("room", sa.String(length=32), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("applied_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"], ["company_imports.id"], name=op.f("fk_company_import_rooms_import_id_company_imports")
        ),
        sa.PrimaryKeyConstraint("import_id", "room", name=op.f("pk_company_import_rooms")),
    )
    op.create_table(
        "import_proofs",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_import_proofs")),
    )
    op.create_index(op.f("ix_import_proofs_expires_at"), "import_proofs", ["expires_at"], unique=False)
