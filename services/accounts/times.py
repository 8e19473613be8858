"""Times as the answers of accounts carry them."""

from __future__ import annotations

from datetime import datetime

from services.chassis.fields import write_moment


def iso(moment: datetime | None) -> str | None:
    """Return a time in the one form of all answers, None for none."""
    return None if moment is None else write_moment(moment)
