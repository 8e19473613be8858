"""Every error code that can reach a client, with its English meaning, gathered from the rooms' contracts."""

from __future__ import annotations

from gateway import problems
from services.accounts import api as accounts
from services.chassis import errors as chassis
from services.devices import api as devices
from services.history import api as history
from services.licensing import api as licensing
from services.projects import api as projects


def all_codes() -> dict[str, str]:
    """Return code -> one English sentence: what it means and what to do."""
    return {
        **chassis.ERRORS,
        **problems.ERRORS,
        **accounts.ERRORS,
        **projects.ERRORS,
        **devices.ERRORS,
        **licensing.ERRORS,
        **history.ERRORS,
    }
