"""When a session last proved who it is: by its login, or by a confirmation (ACC-13)."""

import sqlalchemy as sa
from alembic import op

from services.chassis.data.tables import UtcDateTime

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the time of the last proof; sessions that are there proved it when they began."""
    op.add_column("sessions", sa.Column("authenticated_at", UtcDateTime(), nullable=True))
    op.execute("UPDATE sessions SET authenticated_at = created_at")
