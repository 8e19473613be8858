"""First tables of projects."""

import sqlalchemy as sa
from alembic import op

from services.chassis.data.migrations import create_chassis_tables
from services.chassis.data.tables import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables of the chassis and of projects."""
    create_chassis_tables(op)
    op.create_table(
        "first_projects",
        sa.Column("company_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("company_id", name=op.f("pk_first_projects")),
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("company_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("name_normalized", sa.String(length=192), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("created_by", sa.String(length=36), nullable=False),
        sa.CheckConstraint("state IN ('open', 'archived', 'closed')", name=op.f("ck_projects_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("company_id", "name_normalized", name=op.f("uq_projects_company_id_name_normalized")),
    )
    op.create_table(
        "selections",
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("company_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "company_id", name=op.f("pk_selections")),
    )
    op.create_table(
        "project_rights",
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("company_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("created_by", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_project_rights_project_id_projects")),
        sa.PrimaryKeyConstraint("project_id", "company_id", name=op.f("pk_project_rights")),
    )
    op.create_index("ix_project_rights_company_id", "project_rights", ["company_id"], unique=False)
    # ### end Alembic commands ###
