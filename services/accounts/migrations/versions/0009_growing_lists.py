"""Indexes for what grows: imports since a moment, and the users of a company by the order of their list.

Revision ID: 0009
"""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the indexes."""
    op.create_index(op.f("ix_company_imports_started_at"), "company_imports", ["started_at"], unique=False)
    op.create_index("ix_memberships_company_id_id", "memberships", ["company_id", "id"], unique=False)
