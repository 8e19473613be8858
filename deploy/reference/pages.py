"""Every generated file with its text."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deploy import procedures
from deploy.reference import errors, events, metrics
from services.projects import rights_page

REFERENCE: Final = procedures.ROOT / "docs" / "reference"


def generated() -> dict[Path, str]:
    """Return file -> text of all that is written from declarations."""
    return {
        procedures.TARGET: procedures.written(),
        rights_page.PAGE: rights_page.render(),
        REFERENCE / "errors.md": errors.render(),
        REFERENCE / "events.md": events.render(),
        REFERENCE / "metrics.md": metrics.render(),
    }
