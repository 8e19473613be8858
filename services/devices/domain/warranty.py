"""Warranty dates (DEV-7): base months of the type from the shipping date, plus what warranty licenses add."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date
from typing import Final

BASE_MONTHS: Final = 12
"""Warranty of a device for which nothing else is registered: the regular year."""


@dataclass(frozen=True, slots=True)
class Warranty:
    """Warranty of one device on one day; `ends_on` is its last day."""

    starts_on: date | None
    ends_on: date | None
    state: str
    extension_months: int


def add_months(day: date, months: int) -> date:
    """Return the same day so many months later, or the last day of that month where it is shorter."""
    index = day.year * 12 + day.month - 1 + months
    year, month = index // 12, index % 12 + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def warranty_on(today: date, shipped_on: date | None, base_months: int, extension_months: int) -> Warranty:
    """Return a device's warranty as it stands today: `running`, `ended`, or `unknown` before it is shipped."""
    if shipped_on is None:
        return Warranty(None, None, "unknown", extension_months)
    ends_on = add_months(shipped_on, base_months + extension_months)
    return Warranty(shipped_on, ends_on, "running" if today <= ends_on else "ended", extension_months)


def after_service_years(today: date, ends_on: date | None, years: int) -> date | None:
    """Return when a service agreement ends after years were added, or taken back when negative (DEV-10).

    A running agreement goes on from its end, a lapsed or new one from today; one that is taken back wholly has no end.
    """
    if years == 0:
        return ends_on
    if years > 0:
        return add_months(max(today, ends_on or today), 12 * years)
    shortened = add_months(ends_on, 12 * years) if ends_on else None
    return shortened if shortened and shortened > today else None
