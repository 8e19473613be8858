"""What can be done with a device, and what each of these things needs (DEV-6, DEV-8, table of powers)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

POWER_NEEDED: Final = "access.power_needed"
RIGHT_NEEDED: Final = "accounts.right_needed"
ADMIN_NEEDED: Final = "accounts.admin_needed"
PROJECT_ARCHIVED: Final = "projects.archived"
MARKED_RMA: Final = "devices.marked_rma"

# Action: the power of the project it needs, and whether the RMA mark forbids it.
ACTIONS: Final[dict[str, tuple[str, bool]]] = {
    "add_licenses": ("add", True),
    "add_floating_license": ("add", True),
    "download_licenses": ("files", True),
    "download_unencrypted_licenses": ("files", True),
    "download_test_licenses": ("files", True),
    "return_licenses": ("files", False),
    "move_licenses": ("move_licenses", False),
    "take_back_licenses": ("manage_devices", False),
    "request_certificate": ("request_certificate", True),
    "change_comments": ("add", False),
    "move_device": ("manage_devices", False),
    "delete_device": ("manage_devices", False),
}


def refusal_of(
    action: str, powers: Collection[str], rma: bool, others: Mapping[str, Collection[str]] | None = None
) -> tuple[str, dict[str, str]] | None:
    """Return the code why the action is not allowed and its facts, or None where it is.

    Args:
        action: a key of `ACTIONS`.
        powers: the caller's powers in the device's project.
        rma: whether the device carries the RMA mark.
        others: code -> powers that the caller would have if that were not in the way, nearest remedy first.
    """
    power, forbidden_by_rma = ACTIONS[action]
    if power in powers:
        return (MARKED_RMA, {}) if rma and forbidden_by_rma else None
    for code, possible in (others or {}).items():
        if power in possible:
            # Only these two powers of the table need an account right, which has the same name in capitals.
            return code, {"right": power.upper()} if code == RIGHT_NEEDED else {}
    return POWER_NEEDED, {"power": power}
