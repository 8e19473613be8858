"""Tables of the double-entry ledger: pools, their cached balances, transfers and their entries (L1, L2). No behavior.

Transfers and entries are never changed or deleted; triggers of the first migration see to that on both databases.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, String, false, text
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.data.db import UtcDateTime
from services.licensing.models.base import Base

POOL_ID = String(80)


class Pool(Base):
    """A place where licenses are: `issued`, `void`, `pending`, or one project, device or activation key.

    The id says what it is (`project:<id>`, `device:<hardware id>`, `key:<id>`); `revision` counts the changes of a
    device's licenses, `rma` is the mark of a device as devices told it.
    """

    __tablename__ = "pools"
    __table_args__ = (
        CheckConstraint("kind IN ('issued', 'project', 'device', 'key', 'void', 'pending')", name="kind_known"),
    )

    id: Mapped[str] = mapped_column(POOL_ID, primary_key=True)
    kind: Mapped[str] = mapped_column(String(8))
    revision: Mapped[int] = mapped_column(server_default="0")
    rma: Mapped[bool] = mapped_column(server_default=false())


class Balance(Base):
    """The cached sum of a pool's entries of one license type; only what the vendor issued may be below zero (I3)."""

    __tablename__ = "balances"
    __table_args__ = (CheckConstraint("n >= 0 OR pool_id = 'issued'", name="not_negative"),)

    pool_id: Mapped[str] = mapped_column(ForeignKey("pools.id"), primary_key=True)
    license_type: Mapped[str] = mapped_column(ForeignKey("license_types.id"), primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger)


class Transfer(Base):
    """A movement between pools; its id exists once, for a redemption it comes from the key (L7)."""

    __tablename__ = "transfers"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    company_id: Mapped[str | None] = mapped_column(String(36))
    actor_id: Mapped[str | None] = mapped_column(String(36))
    reason: Mapped[str] = mapped_column(String(500))
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class TransferEntry(Base):
    """One line of a transfer; the lines of a transfer sum to zero per license type (I1)."""

    __tablename__ = "transfer_entries"
    __table_args__ = (
        CheckConstraint("quantity <> 0", name="quantity_not_zero"),
        # Checked at the commit: a transfer changes its balances last, see store/ledger.py.
        ForeignKeyConstraint(
            ["pool_id", "license_type"],
            ["balances.pool_id", "balances.license_type"],
            deferrable=True,
            initially="DEFERRED",
        ),
    )

    transfer_id: Mapped[str] = mapped_column(ForeignKey("transfers.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    pool_id: Mapped[str] = mapped_column(POOL_ID)
    license_type: Mapped[str] = mapped_column(String(40))
    quantity: Mapped[int] = mapped_column(BigInteger)


class DeviceLine(Base):
    """Licenses that one assignment put on a device, with what became of them.

    `draws` tells which pool paid how much, so that taking back restores exactly that. `file_issued` is the latch that
    license files close (L9): from then on the assignment is not taken back (LIC-13), after `plain` not returned.
    """

    __tablename__ = "device_lines"
    __table_args__ = (
        CheckConstraint("quantity BETWEEN 1 AND 1000000", name="quantity_in_range"),
        CheckConstraint("state IN ('installed', 'taken_back', 'returned', 'moved', 'removed')", name="state_known"),
        CheckConstraint("file_issued IN ('none', 'encrypted', 'plain')", name="file_issued_known"),
        Index(
            "ix_device_lines_installed",
            "hardware_id",
            postgresql_where=text("state = 'installed'"),
            sqlite_where=text("state = 'installed'"),
        ),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    hardware_id: Mapped[str] = mapped_column(String(17))
    license_type: Mapped[str] = mapped_column(String(40))
    quantity: Mapped[int]
    state: Mapped[str] = mapped_column(String(12))
    file_issued: Mapped[str] = mapped_column(String(9))
    transfer_id: Mapped[str] = mapped_column(ForeignKey("transfers.id", deferrable=True, initially="DEFERRED"))
    company_id: Mapped[str] = mapped_column(String(36))
    project_id: Mapped[str] = mapped_column(String(36))
    draws: Mapped[str] = mapped_column(String(4000))
    assigned_by: Mapped[str] = mapped_column(String(36))
    assigned_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_by: Mapped[str | None] = mapped_column(String(80))
