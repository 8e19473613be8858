"""Lines, chains, and the triggers that keep lines as they are.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

from services.chassis.data.migrations import create_chassis_tables
from services.chassis.data.tables import UtcDateTime

revision = "0001"
down_revision = None

_POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_POSTGRESQL = """
CREATE FUNCTION refuse_change_of_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'history lines are never changed or deleted';
END
$$;
CREATE TRIGGER lines_unchanged BEFORE UPDATE OR DELETE ON lines
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_lines();
CREATE TRIGGER lines_kept BEFORE TRUNCATE ON lines
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_lines();
DO $$
BEGIN
    -- The service's login has no right to it either, where it is not the owner of the tables (rule L1).
    IF current_user <> 'history' AND EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'history') THEN
        REVOKE UPDATE, DELETE, TRUNCATE ON lines FROM history;
    END IF;
END
$$;
"""

_SQLITE = (
    """
    CREATE TRIGGER lines_unchanged BEFORE UPDATE ON lines
    BEGIN SELECT RAISE(ABORT, 'history lines are never changed or deleted'); END
    """,
    """
    CREATE TRIGGER lines_kept BEFORE DELETE ON lines
    BEGIN SELECT RAISE(ABORT, 'history lines are never changed or deleted'); END
    """,
)


def upgrade() -> None:
    """Create the tables of history and of the chassis."""
    create_chassis_tables(op)
    op.create_table(
        "chains",
        sa.Column("chain", sa.String(36), nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("chain", name="pk_chains"),
        sa.CheckConstraint("count >= 0", name="ck_chains_count_not_negative"),
    )
    op.create_table(
        "lines",
        sa.Column("position", _POSITION, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.String(64), nullable=False),
        sa.Column("source", sa.String(32), nullable=False),
        sa.Column("source_sequence", sa.BigInteger, nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("company_id", sa.String(36)),
        sa.Column("project_id", sa.String(36)),
        sa.Column("device_id", sa.String(36)),
        sa.Column("hardware_id", sa.String(32)),
        sa.Column("actor_id", sa.String(36)),
        sa.Column("request_id", sa.String(128)),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("chain", sa.String(36), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_lines"),
        sa.UniqueConstraint("event_id", name="uq_lines_event_id"),
        sa.UniqueConstraint("chain", "number", name="uq_lines_chain_number"),
        sa.CheckConstraint("number >= 1", name="ck_lines_number_positive"),
    )
    for name, column in (
        ("company", "company_id"),
        ("actor", "actor_id"),
        ("device", "device_id"),
        ("hardware", "hardware_id"),
        ("project", "project_id"),
    ):
        op.create_index(f"ix_lines_{name}_at", "lines", [column, "at", "position"])
    op.create_index("ix_lines_subject", "lines", ["subject", "at", "position"])
    op.create_index("ix_lines_at", "lines", ["at", "position"])
    op.create_index(
        "uq_lines_source_sequence",
        "lines",
        ["source", "source_sequence"],
        unique=True,
        postgresql_where=sa.text("source_sequence > 0"),
        sqlite_where=sa.text("source_sequence > 0"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_POSTGRESQL)
    else:
        for statement in _SQLITE:
            op.execute(statement)


def downgrade() -> None:
    """Refuse: going back would throw history away."""
    raise NotImplementedError("history lines are never deleted; restore a backup instead")
