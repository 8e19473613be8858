"""Tables of accounts. No behavior.

Secrets never stand here in the clear: passwords as argon2id strings, random tokens as SHA-256, mails and second-factor
secrets sealed by the key store.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Index, Integer, LargeBinary, String, Text, text
from sqlalchemy import UniqueConstraint as Unique
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.chassis.data.db import UtcDateTime, service_metadata

Counter = BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    """Base of the tables of accounts."""

    metadata = service_metadata()


class Registration(Base):
    """Data of a registration whose link was not used yet; each link activates exactly its own data (ACC-2)."""

    __tablename__ = "registrations"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    email: Mapped[str] = mapped_column(String(254))
    email_normalized: Mapped[str] = mapped_column(String(512), index=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    forename: Mapped[str] = mapped_column(String(64))
    surname: Mapped[str] = mapped_column(String(64))
    language: Mapped[str] = mapped_column(String(8))
    vendor_customer_number: Mapped[str | None] = mapped_column(String(32))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class User(Base):
    """A person with an account; `erased_at` marks one whose data are gone (ACC-12)."""

    __tablename__ = "users"
    __table_args__ = (Unique("email_normalized"),)
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    email: Mapped[str] = mapped_column(String(254))
    email_normalized: Mapped[str] = mapped_column(String(512))
    password_hash: Mapped[str] = mapped_column(String(255))
    forename: Mapped[str] = mapped_column(String(64))
    surname: Mapped[str] = mapped_column(String(64))
    language: Mapped[str] = mapped_column(String(8))
    vendor_customer_number: Mapped[str | None] = mapped_column(String(32))
    locked: Mapped[bool]
    staff: Mapped[bool]
    account_rights: Mapped[list[str]] = mapped_column(JSON)
    last_company_id: Mapped[str | None] = mapped_column(String(36))
    otp_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    otp_confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    otp_last_step: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    erased_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class RecoveryCode(Base):
    """One code for the day on which the second factor is lost."""

    __tablename__ = "recovery_codes"
    user_id: Mapped[str] = mapped_column(String(36), ForeignKey("users.id"), primary_key=True)
    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Company(Base):
    """A customer company; `absorbed_into` names the one that imported it (ACC-6), always the last of a chain."""

    __tablename__ = "companies"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    vendor_customer_number: Mapped[str | None] = mapped_column(String(32))
    absorbed_into: Mapped[str | None] = mapped_column(String(36), ForeignKey("companies.id"), index=True)
    otp_demanded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    version: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class DeviceNotice(Base):
    """Whether a company wants mails about what others do with devices that concern it; `held` waits for its turn."""

    __tablename__ = "device_notices"
    company_id: Mapped[str] = mapped_column(String(36), ForeignKey("companies.id"), primary_key=True)
    wanted: Mapped[bool]
    held: Mapped[bool]
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Membership(Base):
    """A user in a company, with role and lock (ACC-4, ACC-8)."""

    __tablename__ = "memberships"
    __table_args__ = (
        Unique("company_id", "user_id"),
        CheckConstraint("role IN ('admin', 'member')", name="role"),
        Index("ix_memberships_user_id", "user_id"),
        Index("ix_memberships_company_id_id", "company_id", "id"),
    )
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    company_id: Mapped[str] = mapped_column(String(36), ForeignKey("companies.id"))
    user_id: Mapped[str] = mapped_column(String(36), ForeignKey("users.id"))
    role: Mapped[str] = mapped_column(String(16))
    locked: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Invitation(Base):
    """An address that was asked to join a company; one open row per company and address."""

    __tablename__ = "invitations"
    __table_args__ = (Unique("company_id", "email_normalized"),)
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    company_id: Mapped[str] = mapped_column(String(36), ForeignKey("companies.id"))
    email: Mapped[str] = mapped_column(String(254))
    email_normalized: Mapped[str] = mapped_column(String(512), index=True)
    invited_by: Mapped[str] = mapped_column(String(36))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Link(Base):
    """The token of a mail link: one purpose, one use (S10)."""

    __tablename__ = "links"
    __table_args__ = (
        Unique("token_hash"),
        CheckConstraint("purpose IN ('activation', 'password_reset', 'email_change', 'invitation')", name="purpose"),
        Index("ix_links_purpose_subject_id", "purpose", "subject_id"),
    )
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(16))
    token_hash: Mapped[str] = mapped_column(String(64))
    subject_id: Mapped[str] = mapped_column(String(36))
    email: Mapped[str | None] = mapped_column(String(254))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class EmailUndo(Base):
    """The token of a link that gives an account its former address back, whoever holds the account by then."""

    __tablename__ = "email_undos"
    __table_args__ = (Unique("token_hash"),)
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(36), ForeignKey("users.id"), index=True)
    token_hash: Mapped[str] = mapped_column(String(64))
    email: Mapped[str] = mapped_column(String(254))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


_PARKED = text("parked_at IS NOT NULL")


class Mail(Base):
    """A mail to send: recipient, template and values sealed, because they hold a link's token; emptied once sent."""

    __tablename__ = "mails"
    __table_args__ = (
        Index("ix_mails_next_at", "next_at"),
        Index("ix_mails_parked_at", "parked_at", postgresql_where=_PARKED, sqlite_where=_PARKED),
    )
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    template: Mapped[str] = mapped_column(String(40))
    language: Mapped[str] = mapped_column(String(8))
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    attempts: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    next_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    error: Mapped[str | None] = mapped_column(Text)
    parked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Session(Base):
    """A login of a person, in one company at a time; `ended_at` makes its tokens worthless."""

    __tablename__ = "sessions"
    __table_args__ = (Index("ix_sessions_user_id_ended_at", "user_id", "ended_at"),)
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(36), ForeignKey("users.id"))
    company_id: Mapped[str | None] = mapped_column(String(36))
    company_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    user_agent: Mapped[str | None] = mapped_column(String(300))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime] = mapped_column(UtcDateTime)
    authenticated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    end_reason: Mapped[str | None] = mapped_column(String(32))


class RefreshToken(Base):
    """One refresh token of a session's chain, stored hashed; a used one that comes back is a theft.

    Its successor is kept sealed for the seconds in which a lost answer may be asked for again.
    """

    __tablename__ = "refresh_tokens"
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    session_id: Mapped[str] = mapped_column(String(36), ForeignKey("sessions.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    successor: Mapped[bytes | None] = mapped_column(LargeBinary)


class ApiToken(Base):
    """A personal API token for one company of the user (ACC-11)."""

    __tablename__ = "api_tokens"
    __table_args__ = (Unique("token_hash"), Index("ix_api_tokens_user_id", "user_id"))
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(36), ForeignKey("users.id"))
    company_id: Mapped[str | None] = mapped_column(String(36))
    name: Mapped[str] = mapped_column(String(64))
    token_hash: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    project_id: Mapped[str | None] = mapped_column(String(36))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ServiceAccount(Base):
    """A program of the vendor: no user, no login, no company; `created_by` may be gone (ACC-11)."""

    __tablename__ = "service_accounts"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created_by: Mapped[str] = mapped_column(String(36))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ServiceToken(Base):
    """A token of a service account, stored hashed; its scopes are the account's."""

    __tablename__ = "service_tokens"
    __table_args__ = (Unique("token_hash"),)
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    account_id: Mapped[str] = mapped_column(String(36), ForeignKey("service_accounts.id"), index=True)
    token_hash: Mapped[str] = mapped_column(String(64))
    created_by: Mapped[str] = mapped_column(String(36))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Revocation(Base):
    """What the gateways must stop to believe: sessions, memberships, users; useful for 16 minutes."""

    __tablename__ = "revocations"
    __table_args__ = (
        CheckConstraint("kind IN ('session', 'membership', 'user')", name="kind"),
        Index("ix_revocations_at", "at"),
    )
    number: Mapped[int] = mapped_column(Counter, primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(16))
    subject_id: Mapped[str] = mapped_column(String(36))
    company_id: Mapped[str | None] = mapped_column(String(36))
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class ThrottleRow(Base):
    """Failed attempts by account and by source address; keys are hashes, addresses are personal data."""

    __tablename__ = "throttles"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int]
    window_started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    blocked_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    level: Mapped[int]
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class KnownAddress(Base):
    """A source address from which a user logged in before: strangers' failures do not slow it down (S3)."""

    __tablename__ = "known_addresses"
    user_id: Mapped[str] = mapped_column(String(36), ForeignKey("users.id"), primary_key=True)
    address_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class CompanyImport(Base):
    """A company that absorbed another: the row is written with the switch itself; open until every room applied it."""

    __tablename__ = "company_imports"
    __table_args__ = (Unique("gone_id"),)
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    company_id: Mapped[str] = mapped_column(String(36), ForeignKey("companies.id"), index=True)
    gone_id: Mapped[str] = mapped_column(String(36), ForeignKey("companies.id"))
    gone_ids: Mapped[list[str]] = mapped_column(JSON)
    gone_name: Mapped[str] = mapped_column(String(128))
    moved: Mapped[dict[str, int]] = mapped_column(JSON)
    started_by: Mapped[str] = mapped_column(String(36))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    told_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)


class CompanyImportRoom(Base):
    """A room that applied an import, with what it moved; the first word counts."""

    __tablename__ = "company_import_rooms"
    import_id: Mapped[str] = mapped_column(String(36), ForeignKey("company_imports.id"), primary_key=True)
    room: Mapped[str] = mapped_column(String(32), primary_key=True)
    counts: Mapped[dict[str, int]] = mapped_column(JSON)
    applied_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ImportProof(Base):
    """A second factor that a session proved in a rehearsal, good once more for the import itself."""

    __tablename__ = "import_proofs"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
