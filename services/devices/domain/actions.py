"""What can be done with a device, and what each of these things needs (DEV-6, DEV-8, table of powers)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

POWER_NEEDED: Final = "access.power_needed"
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


def refusal_of(action: str, powers: Collection[str], rma: bool) -> str | None:
    """Return the code why the action is not allowed, or None where it is.

    Args:
        action: a key of `ACTIONS`.
        powers: the caller's powers in the device's project.
        rma: whether the device carries the RMA mark.
    """
    power, forbidden_by_rma = ACTIONS[action]
    if power not in powers:
        return POWER_NEEDED
    return MARKED_RMA if rma and forbidden_by_rma else None
