"""What history copies of other rooms' ids, for the audit: companies and records that stand for others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.aliases import aliases
from services.chassis.data.audit.checks import stream
from services.history.models import Line

_IS_RECORD: Final = sa.exists().where(Line.subject == aliases.c.old_id, Line.action == "device_merged")


def absorbed(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield for each absorbed company the one that stands for it here."""
    for row in stream(connection, sa.select(aliases.c.old_id, aliases.c.new_id).where(~_IS_RECORD)):
        yield row.old_id, row.new_id


def joined(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield for each record of a device that an import joined with another one that one."""
    for row in stream(connection, sa.select(aliases.c.old_id, aliases.c.new_id).where(_IS_RECORD)):
        yield row.old_id, row.new_id
