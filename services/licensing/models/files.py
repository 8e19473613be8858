"""Tables of issued license files, returns, certificates and revocation lists.

A file row is written before anything is signed (rule L9): `payload` and its digest say what will be signed, `signature`
and `content` are filled in once. Rows are never deleted; their only changes are those one-way fills and transitions.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.data.db import UtcDateTime
from services.licensing.models.base import Base


class FileCounter(Base):
    """The highest counter given to a file of a device; its row is locked while a file or certificate is recorded.

    `floor` is the highest counter that the device itself named in a return when that was higher: it installs nothing
    up to it, so the next file gets a higher one. 0 when that never happened.
    """

    __tablename__ = "file_counters"

    hardware_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    counter: Mapped[int] = mapped_column(BigInteger)
    floor: Mapped[int] = mapped_column(BigInteger, server_default="0")


class LicenseFileRow(Base):
    """One issued license file."""

    __tablename__ = "license_files"
    __table_args__ = (
        UniqueConstraint("hardware_id", "counter"),
        CheckConstraint("form IN ('text', 'plain', 'encrypted')", name="form"),
        CheckConstraint("state IN ('active', 'returned', 'void')", name="state"),
        CheckConstraint("counter > 0", name="counter"),
        CheckConstraint("(content IS NULL) = (signed_at IS NULL)", name="signed"),
        Index(
            "ix_license_files_unsigned",
            "recorded_at",
            postgresql_where=text("signed_at IS NULL"),
            sqlite_where=text("signed_at IS NULL"),
        ),
    )

    serial: Mapped[str] = mapped_column(String(36), primary_key=True)
    hardware_id: Mapped[str] = mapped_column(String(32))
    counter: Mapped[int] = mapped_column(BigInteger)
    company_id: Mapped[str] = mapped_column(String(36), index=True)
    device_id: Mapped[str] = mapped_column(String(36), index=True)
    project_id: Mapped[str] = mapped_column(String(36))
    form: Mapped[str] = mapped_column(String(10))
    kind: Mapped[str] = mapped_column(String(10))
    lines_digest: Mapped[str] = mapped_column(String(64))
    kid: Mapped[str] = mapped_column(String(100))
    certificate_serial: Mapped[str | None] = mapped_column(String(64))
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    payload_digest: Mapped[str] = mapped_column(String(64))
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    signed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    signature: Mapped[bytes | None] = mapped_column(LargeBinary)
    content: Mapped[str | None] = mapped_column(Text)
    content_digest: Mapped[str | None] = mapped_column(String(64))
    fetched_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    state: Mapped[str] = mapped_column(String(10))


class LicenseFileLine(Base):
    """Which line on the device stands in which file, and with how many units."""

    __tablename__ = "license_file_lines"

    serial: Mapped[str] = mapped_column(ForeignKey("license_files.serial"), primary_key=True)
    line_id: Mapped[str] = mapped_column(String(36), primary_key=True, index=True)
    license_type: Mapped[str] = mapped_column(String(63))
    quantity: Mapped[int] = mapped_column(Integer)


class LicenseReturn(Base):
    """One accepted return; a file is returned at most once, by its serial (rule L10)."""

    __tablename__ = "license_returns"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    serial: Mapped[str] = mapped_column(ForeignKey("license_files.serial"), unique=True)
    hardware_id: Mapped[str] = mapped_column(String(32), index=True)
    company_id: Mapped[str] = mapped_column(String(36), index=True)
    project_id: Mapped[str] = mapped_column(String(36))
    signed_digest: Mapped[str] = mapped_column(String(64), unique=True)
    document: Mapped[str] = mapped_column(Text)
    answer: Mapped[dict[str, Any]] = mapped_column(JSON)
    returned_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Authority(Base):
    """A certificate of the device CA: the root or an issuing one, found by its key."""

    __tablename__ = "authorities"
    __table_args__ = (CheckConstraint("role IN ('root', 'issuing')", name="role"),)

    kid: Mapped[str] = mapped_column(String(100), primary_key=True)
    role: Mapped[str] = mapped_column(String(10))
    certificate: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class DeviceCertificate(Base):
    """One device certificate: recorded before it is signed (rule L9), then filled in once.

    `renews` is the serial number of the one whose key spoke for this one's; None when nobody's key did.
    `possession` is what the record that got it was, `proven` or `claimed`; a renewal keeps that of the key before.
    """

    __tablename__ = "certificates"
    __table_args__ = (
        CheckConstraint("state IN ('current', 'superseded', 'revoked')", name="state"),
        CheckConstraint("(certificate IS NULL) = (signed_at IS NULL)", name="signed"),
        Index(
            "uq_certificates_current",
            "hardware_id",
            unique=True,
            postgresql_where=text("state = 'current'"),
            sqlite_where=text("state = 'current'"),
        ),
        Index(
            "ix_certificates_revoked",
            "revoked_at",
            postgresql_where=text("state = 'revoked'"),
            sqlite_where=text("state = 'revoked'"),
        ),
    )

    serial: Mapped[str] = mapped_column(String(64), primary_key=True)
    hardware_id: Mapped[str] = mapped_column(String(32), index=True)
    company_id: Mapped[str] = mapped_column(String(36))
    device_id: Mapped[str] = mapped_column(String(36))
    key_digest: Mapped[str] = mapped_column(String(64), index=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    authority: Mapped[str] = mapped_column(ForeignKey("authorities.kid"))
    crl_url: Mapped[str] = mapped_column(String(300))
    not_before: Mapped[datetime] = mapped_column(UtcDateTime)
    not_after: Mapped[datetime] = mapped_column(UtcDateTime)
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime)
    signed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    certificate: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(10))
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    reason: Mapped[str | None] = mapped_column(String(200))
    renews: Mapped[str | None] = mapped_column(String(64))
    possession: Mapped[str] = mapped_column(String(8), server_default="claimed")


class CertificateAcceptance(Base):
    """A company took a key that it had not certified for its device's, by the key's fingerprint (LIC-10)."""

    __tablename__ = "certificate_acceptances"

    company_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    hardware_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    key_digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    serial: Mapped[str] = mapped_column(String(64))
    accepted_by: Mapped[str] = mapped_column(String(36))
    accepted_at: Mapped[datetime] = mapped_column(UtcDateTime)


class DeviceHolder(Base):
    """A company's record of a device, as devices told of it; only so that nobody is told of an addition twice."""

    __tablename__ = "device_holders"

    device_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    hardware_id: Mapped[str] = mapped_column(String(32), index=True)
    company_id: Mapped[str] = mapped_column(String(36))


class RevocationList(Base):
    """One published revocation list; the newest number counts."""

    __tablename__ = "revocation_lists"

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    issued_at: Mapped[datetime] = mapped_column(UtcDateTime)
    content: Mapped[bytes] = mapped_column(LargeBinary)
