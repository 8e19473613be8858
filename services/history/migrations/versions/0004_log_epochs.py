"""Epochs of the log, emissions in the order of commits, and what is remembered of applied events (R25, L19).

A source that was restored gives the sequences of events that it lost to others: lines of both stay.

Revision ID: 0004
"""

from alembic import op

from services.chassis.data.migrations import add_epochs

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns and tables of the chassis, and remember every line's event as applied."""
    add_epochs(op)
    op.execute(
        "INSERT INTO applied_events (source, event_id, sequence, type, subject, applied_at) "
        "SELECT source, event_id, source_sequence, action, subject, at FROM lines WHERE source_sequence > 0"
    )
    op.drop_index("uq_lines_source_sequence", "lines")
    op.create_index("ix_lines_source_sequence", "lines", ["source", "source_sequence"])
