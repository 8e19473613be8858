"""Writes docs/reference/rights.md from the table of powers: `python -m services.projects.rights_page`."""

from pathlib import Path
from typing import Final

from services.projects.domain import POWERS

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "rights.md"
_HEAD: Final = """\
# Rights in a project

Generated from the table in `services/projects/domain.py` by `python -m services.projects.rights_page`; all checks of the
services come from the same table. A guest is a user of another company that was given a right in the project. A cell
with a name needs that account right as well, which only staff of the vendor grant. `powers` of a project lists what
the caller may do. Anything on a project of a stranger is answered like an unknown id.

| power | what | own admin | own member | guest | staff | while archived |
|---|---|---|---|---|---|---|
"""


def render() -> str:
    """Return the page."""
    rows = [
        f"| `{power.name}` | {power.text} | "
        + " | ".join(getattr(power, column) for column in ("own_admin", "own_member", "guest", "staff"))
        + f" | {'yes' if power.archived else 'no'} |"
        for power in POWERS
    ]
    return _HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
