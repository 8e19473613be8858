"""SQL of the keys that companies accepted for devices."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.db import insert_or_ignore
from services.licensing.models import CertificateAcceptance


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A company took a key for its device's, by the certificate with this serial number."""

    company_id: str
    hardware_id: str
    key_digest: str
    serial: str
    accepted_by: str
    accepted_at: datetime


def insert(connection: Connection, acceptance: Acceptance) -> bool:
    """Note that a company accepted a key; False when it had done so before."""
    return insert_or_ignore(connection, CertificateAcceptance, asdict(acceptance))


def accepted(connection: Connection, company_ids: Collection[str], hardware_id: str) -> set[str]:
    """Return the digests of the keys of a device that one of these companies accepted."""
    return set(
        connection.scalars(
            sa.select(CertificateAcceptance.key_digest).where(
                CertificateAcceptance.company_id.in_(company_ids), CertificateAcceptance.hardware_id == hardware_id
            )
        )
    )
