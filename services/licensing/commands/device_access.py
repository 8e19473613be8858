"""Which record of a device a caller means, and whether they may work on its files there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.accounts.api import Actor
from services.chassis.context import Call
from services.chassis.errors import conflict, forbidden
from services.devices.api import DevicesClient
from services.projects.api import FILES
from services.licensing.api.files import ERRORS

Facts = Mapping[str, Any]


def require_files(facts: Facts) -> None:
    """Refuse who has no power over the files of the device's project, and devices that get none.

    Raises:
        projects.power_needed: the caller may see the device but not do this.
        licensing.device_rma: the device is marked RMA.
    """
    if FILES not in facts["powers"]:
        raise forbidden(
            "projects.power_needed", "You may see this device but not work on its license files.", power=FILES
        )
    if facts["rma"]:
        raise conflict("licensing.device_rma", ERRORS["licensing.device_rma"])


def record_of(call: Call, devices: DevicesClient, hardware_id: str) -> Facts:
    """Return the caller's record of a device: their own company's, else the one of a project they are guests in.

    Raises:
        devices.not_found: there is none.
        licensing.device_ambiguous: only several foreign ones.
    """
    items = devices.find_devices(call, hardware_id=hardware_id)["items"]
    own = [facts for facts in items if facts["access"] == "own"]
    if len(own) == 1:
        return dict(own[0])
    if not items:
        return devices.find_device(call, hardware_id=hardware_id)
    if len(items) > 1:
        raise conflict("licensing.device_ambiguous", ERRORS["licensing.device_ambiguous"])
    return dict(items[0])


def require_device_scope(call: Call) -> Actor:
    """Return the actor of a call through the device door.

    Raises:
        accounts.scope_needed: the login is not for devices.
    """
    actor = Actor.of(call)
    actor.require_scope("device")
    return actor
