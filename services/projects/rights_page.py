"""The text of docs/reference/rights.md, from the table of powers; `make reference` writes it."""

from pathlib import Path
from typing import Final

from services.projects.domain import POWERS

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "rights.md"
_HEAD: Final = """\
# Rights in a project

Written by `make reference` from the table in `services/projects/domain.py`, from which the
checks of all services come too. A guest is a user of another company that was given a right in the project. A cell with
a name needs that account right as well, which only staff of the vendor grant. `powers` of a project lists what the
caller may do. Anything on a project of a stranger is answered like an unknown id.

| power | what | own admin | own member | guest | staff | while archived |
|---|---|---|---|---|---|---|
"""
_FOOT: Final = """
A service account (a program of the vendor, [how-to](../how-to/connect-the-erp.md)) has no power in any project: its
scope `orders` opens the routes of orders under `/v1/staff/orders` and nothing else; nothing is open to `events` and
`search` yet.
"""


def render() -> str:
    """Return the page."""
    rows = [
        f"| `{power.name}` | {power.text} | "
        + " | ".join(getattr(power, column) for column in ("own_admin", "own_member", "guest", "staff"))
        + f" | {'yes' if power.archived else 'no'} |"
        for power in POWERS
    ]
    return _HEAD + "\n".join(rows) + "\n" + _FOOT
