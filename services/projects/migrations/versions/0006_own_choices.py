"""Choices of projects that are neither the company's own nor open to it by a right, as staff could make, are forgotten.

Revision ID: 0006
"""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Delete them; whoever made one sees all own projects again (PRJ-2)."""
    op.execute(
        "DELETE FROM selections WHERE NOT EXISTS (SELECT 1 FROM projects WHERE projects.id = selections.project_id "
        "AND projects.state = 'open' AND (projects.company_id = selections.company_id OR EXISTS ("
        "SELECT 1 FROM project_rights WHERE project_rights.project_id = projects.id "
        "AND project_rights.company_id = selections.company_id)))"
    )
