"""From which projects an assignment is paid (LIC-3): its own first, then the others as listed, from nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Draw:
    """A quantity of one license type that one project pays."""

    project_id: str
    license_type: str
    quantity: int


def plan_draws(
    needed: Mapping[str, int], stock: Mapping[tuple[str, str], int], projects: Sequence[str]
) -> tuple[list[Draw], dict[str, int]]:
    """Return who pays what, and what is missing.

    Args:
        needed: license type -> quantity.
        stock: (project, license type) -> quantity in stock; absent means none.
        projects: in the order in which they are drawn from, the device's own first; repetitions are ignored.
    """
    draws: list[Draw] = []
    missing: dict[str, int] = {}
    for license_type, quantity in needed.items():
        rest = quantity
        for project_id in dict.fromkeys(projects):
            taken = min(rest, stock.get((project_id, license_type), 0))
            if taken > 0:
                draws.append(Draw(project_id, license_type, taken))
                rest -= taken
        if rest:
            missing[license_type] = rest
    return draws, missing
