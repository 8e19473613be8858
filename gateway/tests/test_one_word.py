"""One word for one thing, over all rooms and routes (api.md, "Conventions")."""

from __future__ import annotations

import json

from gateway import problems
from gateway.codes import all_codes
from gateway.problems import TEXTS
from gateway.routes import ROWS
from services.accounts import api as accounts
from services.chassis import errors as chassis
from services.devices import api as devices
from services.history import api as history
from services.licensing import api as licensing
from services.projects import api as projects

#: Last word of a code -> the one code that means it, whichever service says it (api.md, "One word for one thing").
ONE_CODE = {"stale": "request.stale", "power_needed": "access.power_needed", "token_invalid": "token.invalid"}


def test_one_meaning_has_one_code() -> None:
    """Issue 6.5: three rooms had a word of their own for a stale version, two for a missing power."""
    said = json.loads((TEXTS.parent / "procedures.json").read_text("utf-8"))
    lists = [
        *(set(module.ERRORS) for module in (chassis, problems, accounts, projects, devices, licensing, history)),
        set().union(*said["procedures"].values()) | set(said["statuses"]),
        set().union(*(row.errors for row in ROWS)),
    ]
    for codes in lists:
        second = {code for code in codes for word, one in ONE_CODE.items() if code.endswith(f".{word}") and code != one}
        assert second == set()
    assert set(ONE_CODE.values()) <= set(all_codes())
    # Each code stands in one list, so that nobody gives it a second meaning.
    owners = [code for codes in lists[:7] for code in codes]
    assert sorted(owners) == sorted(set(owners))
