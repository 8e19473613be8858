"""One chain of refresh tokens per session, and links that undo a change of address (issue 6)."""

import sqlalchemy as sa
from alembic import op

from services.chassis.data.tables import UtcDateTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the links that undo, let a refresh token keep its successor, and cut chains that ran side by side."""
    op.create_table(
        "email_undos",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("used_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_email_undos_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_email_undos")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_email_undos_token_hash")),
    )
    op.create_index(op.f("ix_email_undos_user_id"), "email_undos", ["user_id"], unique=False)
    op.create_index(op.f("ix_email_undos_expires_at"), "email_undos", ["expires_at"], unique=False)
    op.add_column("refresh_tokens", sa.Column("successor", sa.LargeBinary(), nullable=True))
    # Two uses of one token left two chains; the newest goes on, a holder of the other logs in again.
    op.execute(
        "DELETE FROM refresh_tokens WHERE used_at IS NULL AND EXISTS ("
        "SELECT 1 FROM refresh_tokens AS later WHERE later.session_id = refresh_tokens.session_id "
        "AND later.used_at IS NULL AND (later.created_at > refresh_tokens.created_at OR "
        "(later.created_at = refresh_tokens.created_at AND later.token_hash > refresh_tokens.token_hash)))"
    )
