"""SQL that deletes what has served its time: registrations, links, throttles, tokens, revocations, source addresses."""

from datetime import timedelta
from typing import Final

import sqlalchemy as sa

from services.accounts import models
from services.accounts.domain import KNOWN_ADDRESS_LIFE, REUSE_GRACE
from services.chassis.data.db import Database, Unit

DAY: Final = timedelta(days=1)
SWEPT: Final = 500
"""So many rows go in one transaction: others wait for no longer than that takes."""
_LIVES: Final[tuple[tuple[type[models.Base], str, timedelta], ...]] = (
    # For as long as one may lie beside another of the same address.
    (models.Registration, "expires_at", 3 * DAY),
    (models.Invitation, "expires_at", DAY),
    (models.EmailUndo, "expires_at", 30 * DAY),
    (models.Link, "expires_at", 30 * DAY),
    (models.ThrottleRow, "updated_at", DAY),
    (models.KnownAddress, "seen_at", KNOWN_ADDRESS_LIFE),
    (models.Revocation, "at", DAY),
    (models.RefreshToken, "expires_at", DAY),
    (models.Mail, "created_at", 90 * DAY),
    (models.ImportProof, "expires_at", DAY),
)


def sweep_all(database: Database) -> int:
    """Delete all old rows, however many have piled up, in short transactions that let others in between.

    Returns:
        How many there were.
    """
    total = 0
    while True:
        swept = database.write(sweep)
        total += swept
        if swept < SWEPT:
            return total


def sweep(unit: Unit) -> int:
    """Delete old rows, `SWEPT` at most; returns how many. Sessions stay: they tell when somebody was logged in."""
    total = 0
    for model, name, life in _LIVES:
        old = _some_of(model.__table__, model.__table__.c[name] < unit.now - life, SWEPT - total)
        total += unit.execute(sa.delete(model).where(old)).rowcount
        if total >= SWEPT:
            return total
    # Whoever asks for a successor after this is taken for a thief.
    tokens = models.RefreshToken.__table__
    late = sa.and_(tokens.c.used_at < unit.now - REUSE_GRACE, tokens.c.successor.is_not(None))
    late_ones = _some_of(tokens, late, SWEPT - total)
    return total + unit.execute(sa.update(models.RefreshToken).where(late_ones).values(successor=None)).rowcount


def _some_of(table: sa.FromClause, condition: sa.ColumnElement[bool], most: int) -> sa.ColumnElement[bool]:
    """Return a condition that at most so many rows fulfill."""
    key = list(table.primary_key)
    return sa.tuple_(*key).in_(sa.select(*key).where(condition).limit(most))
