"""Error codes of devices: what each means and what to do. Append-only."""

from __future__ import annotations

from typing import Final

from services.chassis.errors import ERRORS as CHASSIS_ERRORS

# Refused by licensing, which knows who paid for what is on a device.
POSSESSION_NEEDED: Final = "devices.possession_needed"

ERRORS: Final[dict[str, str]] = {
    "devices.already_in_company": "The company has this device already; delete it from its project first, or move it.",
    "devices.already_imported": "This device's data from the old license manager was imported before; that is final.",
    "devices.not_found": "The device is not in the vendor's production data; contact the vendor.",
    "devices.in_other_company": "Another company has this device too; it may be added, which gives access to all its "
    "current licenses and needs an explicit yes: an entry in `accept_warnings` with this `hardware_id` and `code`.",
    "devices.several_users": "The device has old licenses of several users; do not import it unless you own it.",
    "devices.malformed_id": "The text is not a hardware id; write a MAC address or an IPEI as on the label.",
    "devices.repeated_in_request": "The device appears earlier in the same request; leave this line out.",
    "devices.too_many": "More devices were given than one request may hold; `count` and `limit` give the numbers; "
    "split them.",
    "devices.range_invalid": "The two addresses do not form a range; give the first and the last MAC address of one.",
    "devices.order_not_found": "No devices are known under this order number; compare it with the shipping papers.",
    "devices.malformed_order_number": "The text cannot be an order number; write it as on the shipping papers.",
    "devices.device_not_found": "There is no such device in your company's projects; list the devices to see their "
    "ids.",
    "devices.project_closed": "The project is archived or being deleted and takes no devices; choose another one.",
    "devices.not_in_order": "The device did not come with this order; give the number on its own shipping papers.",
    "devices.possession_needed": "Your company has only claimed this device, and either another company holds it or "
    "paid for licenses on it, or nobody has proved possession yet: prove it first (POST /v1/devices/{id}/possession) "
    "in one of the "
    "`ways`.",
    "devices.already_in_project": "The device is in this project already; choose another project.",
    "devices.marked_rma": "The device carries the RMA mark: it takes no licenses and gets no files; only the "
    "vendor's staff can remove it.",
    "devices.throttled": "Too many devices of others were looked up in the last hour; wait as long as `Retry-After` "
    "says.",
    "devices.order_changed": "The order is registered with other devices; correct the number or the list.",
    "devices.in_other_order": "A device is registered under another order; correct the list.",
}

#: What a line or an action may say: the room's own codes and those that all rooms share.
MEANINGS: Final[dict[str, str]] = {**CHASSIS_ERRORS, **ERRORS}
