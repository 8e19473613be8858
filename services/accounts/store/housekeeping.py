"""SQL that deletes what has served its time: registrations, links, throttles, tokens, revocations, source addresses."""

from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa

from services.accounts import models
from services.accounts.domain import KNOWN_ADDRESS_LIFE, REUSE_GRACE
from services.chassis.db import Unit

DAY: Final = timedelta(days=1)
_LIVES: Final[tuple[tuple[Any, timedelta], ...]] = (
    # For as long as one may lie beside another of the same address.
    (models.Registration.__table__.c.expires_at, 3 * DAY),
    (models.Invitation.__table__.c.expires_at, DAY),
    (models.EmailUndo.__table__.c.expires_at, 30 * DAY),
    (models.Link.__table__.c.expires_at, 30 * DAY),
    (models.ThrottleRow.__table__.c.updated_at, DAY),
    (models.KnownAddress.__table__.c.seen_at, KNOWN_ADDRESS_LIFE),
    (models.Revocation.__table__.c.at, DAY),
    (models.RefreshToken.__table__.c.expires_at, DAY),
    (models.Mail.__table__.c.created_at, 90 * DAY),
    (models.ImportProof.__table__.c.expires_at, DAY),
)


def sweep(unit: Unit) -> int:
    """Delete old rows; returns how many there were. Sessions stay: they tell when somebody was logged in."""
    total = 0
    for column, life in _LIVES:
        total += unit.execute(sa.delete(column.table).where(column < unit.now - life)).rowcount
    # Whoever asks for a successor after this is taken for a thief.
    late = sa.and_(models.RefreshToken.used_at < unit.now - REUSE_GRACE, models.RefreshToken.successor.is_not(None))
    unit.execute(sa.update(models.RefreshToken).where(late).values(successor=None))
    return total
