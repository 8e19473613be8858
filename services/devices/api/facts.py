"""What another room knows of a device once devices has answered: `DeviceFacts` as a value. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from services.devices.api.schemas import PROVEN
from services.projects.api import require_power


@dataclass(frozen=True, slots=True)
class DeviceAccess:
    """A company's record of a device, and what the caller may do with it.

    Args:
        company_id, project_id: whose record it is, and where it stands.
        held_by_others: another company has the device too.
        other_holders: marks of those companies (`holder_mark`).
        powers: names of the caller's powers in the project.
        proven: possession was proven, not only claimed (DEV-15).
        access: what the caller is to the project: `own`, `guest` or `staff`.
    """

    device_id: str
    hardware_id: str
    type: str
    company_id: str
    project_id: str
    rma: bool
    held_by_others: bool
    other_holders: frozenset[str]
    powers: frozenset[str]
    proven: bool
    access: str

    @classmethod
    def of_answer(cls, answer: Mapping[str, Any]) -> Self:
        """Return what a `DeviceFacts` says."""
        return cls(
            answer["device_id"],
            answer["hardware_id"],
            answer["type"],
            answer["company_id"],
            answer["project_id"],
            bool(answer["rma"]),
            bool(answer["held_by_others"]),
            frozenset(answer["other_holders"]),
            frozenset(answer["powers"]),
            answer.get("possession") == PROVEN,
            str(answer["access"]),
        )

    def require(self, power: str) -> None:
        """Refuse a caller without a power in the device's project.

        Raises: access.power_needed.
        """
        require_power(self.powers, power)
