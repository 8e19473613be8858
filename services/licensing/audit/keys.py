"""The part of licensing's audit about activation keys: who used them, and what they are found by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from sqlalchemy import Connection

from services.chassis.data.audit.checks import UNREADABLE, Check, Flaws, stream
from services.chassis.data.rows import columns_of, part_of
from services.chassis.keys.keystore import KeyStore
from services.licensing.domain.activation_keys import GROUP, digest_of_key
from services.licensing.models import ActivationKey, Project, Transfer


@dataclass(frozen=True, slots=True)
class _Use:
    """Who used a key, who booked that, and who has the project today."""

    id: str
    state: str
    used_by: str | None
    used_at: datetime | None
    used_company_id: str | None
    used_project_id: str | None
    actor_id: str | None
    at: datetime | None
    owner_id: str | None


def check_keys(connection: Connection) -> Check:
    """Check that who used a key, when and for whom is what was booked (I5).

    Args:
        connection: of a snapshot.
    """
    flaws, checked, key = Flaws(), 0, ActivationKey
    booked, owner = Transfer.__table__.c, Project.__table__.c.company_id
    columns = columns_of(_Use, key.__table__, actor_id=booked.actor_id, at=booked.at, owner_id=owner)
    statement = (
        sa.select(*columns)
        .outerjoin(Transfer, Transfer.id == sa.literal("redeem:") + key.id)
        .outerjoin(Project, Project.id == key.used_project_id)
    )
    for row in stream(connection, statement):
        checked += 1
        for flaw in _use_flaws(part_of(row, _Use)):
            flaws.add(f"key {row.id} {flaw}")
    return Check("keys were used as booked", checked, flaws.told())


def _use_flaws(key: _Use) -> Iterator[str]:
    if key.state != "used":
        if (key.used_by, key.used_at, key.used_company_id, key.used_project_id) != (None, None, None, None):
            yield f"is {key.state} and says who used it"
        return
    if key.used_company_id != key.owner_id:
        yield f"was used by company {key.used_company_id} in a project of {key.owner_id}"
    if (key.used_by, key.used_at) != (key.actor_id, key.at):
        yield f"was used by {key.used_by} at {key.used_at}, and booked by {key.actor_id} at {key.at}"


def check_sealed_keys(connection: Connection, keystore: KeyStore) -> Check:
    """Check that every key's sealed text can be opened and is what the key is found by (BAL-5).

    Args:
        connection: of a snapshot.
        keystore: licensing's.
    """
    flaws, checked, key = Flaws(), 0, ActivationKey
    for row in stream(connection, sa.select(key.id, key.sealed, key.digest, key.last_group)):
        checked += 1
        try:
            text = keystore.unseal(bytes(row.sealed), f"activation_key:{row.id}").decode()
        except (InvalidTag, *UNREADABLE):
            flaws.add(f"key {row.id} cannot be opened; bring the row or the key folder back from a backup")
            continue
        if digest_of_key(text) != row.digest or text[-GROUP:] != row.last_group:
            flaws.add(f"key {row.id} is found by another text than the one that is sealed")
    return Check("sealed keys can be opened", checked, flaws.told())
