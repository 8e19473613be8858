"""What the auditor found last, for the figures: `make audit` leaves it in the data folder.

History tells it, since its data folder is the one that the auditor needs in any case: the signed heads are there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from services.chassis import metrics
from services.chassis.keys.keyfiles import write_private
from services.chassis.settings import Settings

FILE: Final = "audit.json"

_FLAWS = metrics.read_figure(
    "tessera_audit_flaws",
    "What `make audit` found wrong when it was run last; absent before the first time.",
    of="history",
    zero="Something does not add up: docs/how-to/act-on-audit-findings.md.",
)
_CHECKS = metrics.read_figure("tessera_audit_checks", "How many checks that audit made.", of="history")
_AGE = metrics.read_figure(
    "tessera_audit_age_seconds", "Time since that audit; seconds. One that cannot be made leaves none.", of="history"
)


def note(settings: Settings, *, checks: int, flaws: int) -> None:
    """Leave the result of an audit that has ended just now."""
    told = {"at": datetime.now(UTC).isoformat(), "checks": checks, "flaws": flaws}
    write_private(settings.data_dir / FILE, f"{json.dumps(told)}\n".encode())


def samples(settings: Settings) -> Iterator[metrics.Sample]:
    """Yield the figures of the last audit, none before the first.

    Raises:
        ValueError, KeyError, TypeError: the file is not what was written.
    """
    try:
        told = json.loads((settings.data_dir / FILE).read_bytes())
    except FileNotFoundError:
        return
    yield _FLAWS, (), float(told["flaws"])
    yield _CHECKS, (), float(told["checks"])
    yield _AGE, (), max(0.0, (datetime.now(UTC) - datetime.fromisoformat(told["at"])).total_seconds())
