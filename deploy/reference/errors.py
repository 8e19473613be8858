"""The page of all error codes: what each means, with which status it refuses, and which procedures raise it."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from deploy import procedures
from gateway import problems
from gateway.responses import DOOR_STATUSES
from services.accounts import api as accounts
from services.chassis import errors as chassis
from services.chassis.service.declare import EVERYWHERE
from services.devices import api as devices
from services.history import api as history
from services.licensing import api as licensing
from services.projects import api as projects

_HEAD: Final = """\
# Error codes

Written by `make reference` from the contracts of the rooms and what their procedures declare; do not edit. A code never
changes its meaning. A running gateway explains each at `/problems/<code>`, in English and German; `/openapi.json` says
which operation answers which, how the answers look and what facts they carry (`Problem`).

*Raised by* are the procedures of the rooms, as `room.procedure`; *anything* may be answered to any request. A code with
the status *in a line* refuses no request: it stands at one of several lines or actions of an answer that is a success.
Of two statuses, 422 says that the request is wrong by itself, 409 that it is wrong because of what is stored.
"""
_CONTRACTS: Final = {
    "Any request": chassis.ERRORS,
    "HTTP": problems.ERRORS,
    "Accounts and companies": accounts.ERRORS,
    "Projects": projects.ERRORS,
    "Devices": devices.ERRORS,
    "Licenses": licensing.ERRORS,
    "History": history.ERRORS,
}


def render() -> str:
    """Return the page."""
    raised: dict[str, list[str]] = defaultdict(list)
    for procedure, codes in procedures.procedures().items():
        for code in codes:
            raised[code].append(procedure)
    statuses = procedures.statuses()
    parts = [_HEAD]
    for heading, meanings in _CONTRACTS.items():
        if not meanings:
            continue
        parts.append(f"## {heading}\n\n| code | status | what it means | raised by |\n|---|---|---|---|")
        for code, meaning in sorted(meanings.items()):
            told = {DOOR_STATUSES[code]} if code in DOOR_STATUSES else statuses.get(code, ())
            status = ", ".join(map(str, sorted(told)))
            if not status:
                status = "409 or 422" if raised[code] else "in a line"
            parts.append(
                f'| <a id="{code}"></a>`{code}` | {status} | {meaning} | {_raisers(code, heading, raised[code])} |'
            )
        parts.append("")
    return "\n".join(parts)


def _raisers(code: str, heading: str, procedures: list[str]) -> str:
    if code in EVERYWHERE:
        return "anything"
    if not procedures:
        return "the gateway" if heading == "HTTP" else ""
    return ", ".join(f"`{name}`" for name in sorted(procedures))
