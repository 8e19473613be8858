"""License files, returns, certificates of devices and of the authority, revocation lists.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

from services.chassis.data.tables import NAMING, UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables."""
    # One collection, so that the names of constraints follow the house's convention.
    metadata = sa.MetaData(naming_convention=NAMING)
    _file_tables(metadata)
    _certificate_tables(metadata)
    metadata.create_all(op.get_bind())


def _file_tables(metadata: sa.MetaData) -> None:
    sa.Table(
        "file_counters",
        metadata,
        sa.Column("hardware_id", sa.String(32), primary_key=True),
        sa.Column("counter", sa.BigInteger, nullable=False),
    )
    sa.Table(
        "license_files",
        metadata,
        sa.Column("serial", sa.String(36), primary_key=True),
        sa.Column("hardware_id", sa.String(32), nullable=False),
        sa.Column("counter", sa.BigInteger, nullable=False),
        sa.Column("company_id", sa.String(36), nullable=False, index=True),
        sa.Column("device_id", sa.String(36), nullable=False, index=True),
        sa.Column("project_id", sa.String(36), nullable=False),
        sa.Column("form", sa.String(10), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("lines_digest", sa.String(64), nullable=False),
        sa.Column("kid", sa.String(100), nullable=False),
        sa.Column("certificate_serial", sa.String(64)),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("payload_digest", sa.String(64), nullable=False),
        sa.Column("recorded_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime),
        sa.Column("signed_at", UtcDateTime),
        sa.Column("signature", sa.LargeBinary),
        sa.Column("content", sa.Text),
        sa.Column("content_digest", sa.String(64)),
        sa.Column("fetched_at", UtcDateTime),
        sa.Column("state", sa.String(10), nullable=False),
        sa.UniqueConstraint("hardware_id", "counter"),
        sa.CheckConstraint("form IN ('text', 'plain', 'encrypted')", name="form"),
        sa.CheckConstraint("state IN ('active', 'returned', 'void')", name="state"),
        sa.CheckConstraint("counter > 0", name="counter"),
        sa.CheckConstraint("(content IS NULL) = (signed_at IS NULL)", name="signed"),
        sa.Index(
            "ix_license_files_unsigned",
            "recorded_at",
            postgresql_where=sa.text("signed_at IS NULL"),
            sqlite_where=sa.text("signed_at IS NULL"),
        ),
    )
    sa.Table(
        "license_file_lines",
        metadata,
        sa.Column("serial", sa.String(36), sa.ForeignKey("license_files.serial"), primary_key=True),
        sa.Column("line_id", sa.String(36), primary_key=True, index=True),
        sa.Column("license_type", sa.String(63), nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
    )
    sa.Table(
        "license_returns",
        metadata,
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("serial", sa.String(36), sa.ForeignKey("license_files.serial"), nullable=False, unique=True),
        sa.Column("hardware_id", sa.String(32), nullable=False, index=True),
        sa.Column("company_id", sa.String(36), nullable=False, index=True),
        sa.Column("project_id", sa.String(36), nullable=False),
        sa.Column("signed_digest", sa.String(64), nullable=False, unique=True),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("answer", sa.JSON, nullable=False),
        sa.Column("returned_at", UtcDateTime, nullable=False),
    )


def _certificate_tables(metadata: sa.MetaData) -> None:
    sa.Table(
        "authorities",
        metadata,
        sa.Column("kid", sa.String(100), primary_key=True),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("certificate", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.CheckConstraint("role IN ('root', 'issuing')", name="role"),
    )
    sa.Table(
        "certificates",
        metadata,
        sa.Column("serial", sa.String(64), primary_key=True),
        sa.Column("hardware_id", sa.String(32), nullable=False, index=True),
        sa.Column("company_id", sa.String(36), nullable=False),
        sa.Column("device_id", sa.String(36), nullable=False),
        sa.Column("key_digest", sa.String(64), nullable=False, index=True),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("authority", sa.String(100), sa.ForeignKey("authorities.kid"), nullable=False),
        sa.Column("crl_url", sa.String(300), nullable=False),
        sa.Column("not_before", UtcDateTime, nullable=False),
        sa.Column("not_after", UtcDateTime, nullable=False),
        sa.Column("recorded_at", UtcDateTime, nullable=False),
        sa.Column("signed_at", UtcDateTime),
        sa.Column("certificate", sa.Text),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("revoked_at", UtcDateTime),
        sa.Column("reason", sa.String(200)),
        sa.CheckConstraint("state IN ('current', 'superseded', 'revoked')", name="state"),
        sa.CheckConstraint("(certificate IS NULL) = (signed_at IS NULL)", name="signed"),
        sa.Index(
            "uq_certificates_current",
            "hardware_id",
            unique=True,
            postgresql_where=sa.text("state = 'current'"),
            sqlite_where=sa.text("state = 'current'"),
        ),
    )
    sa.Table(
        "revocation_lists",
        metadata,
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("issued_at", UtcDateTime, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
