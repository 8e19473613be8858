"""What decides in a booking and belongs to other rooms, as they told it: RMA marks, rights of guests (L20).

Revision ID: 0009
"""

import sqlalchemy as sa
from alembic import op

from services.chassis.data.tables import NAMING

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the mark to pools, the table of guests' rights, and the indexes that growth needs."""
    op.add_column("pools", sa.Column("rma", sa.Boolean, nullable=False, server_default=sa.false()))
    metadata = sa.MetaData(naming_convention=NAMING)
    sa.Table(
        "guest_rights",
        metadata,
        sa.Column("project_id", sa.String(36), primary_key=True),
        sa.Column("company_id", sa.String(36), primary_key=True),
        sa.Column("ended", sa.Boolean, nullable=False),
    )
    metadata.create_all(op.get_bind())
    created = sa.text("state = 'open' AND project_id IS NOT NULL")
    op.create_index(
        "ix_activation_keys_created", "activation_keys", ["project_id"], postgresql_where=created, sqlite_where=created
    )
    op.create_index("ix_activation_keys_company_id", "activation_keys", ["company_id"])
    op.create_index("ix_activation_keys_used_company_id", "activation_keys", ["used_company_id"])
    revoked = sa.text("state = 'revoked'")
    op.create_index(
        "ix_certificates_revoked", "certificates", ["revoked_at"], postgresql_where=revoked, sqlite_where=revoked
    )
