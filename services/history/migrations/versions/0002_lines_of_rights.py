"""Indexes over the lines that say whose a project is and who may work in it.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_CREATIONS = sa.text("source = 'projects' AND action = 'project_created'")
_RIGHTS = sa.text("source = 'projects' AND action IN ('project_right_granted', 'project_right_removed')")


def upgrade() -> None:
    """Make the indexes."""
    op.create_index("ix_lines_creations", "lines", ["project_id"], postgresql_where=_CREATIONS, sqlite_where=_CREATIONS)
    op.create_index(
        "ix_lines_rights", "lines", ["company_id", "position"], postgresql_where=_RIGHTS, sqlite_where=_RIGHTS
    )
