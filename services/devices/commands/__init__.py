"""One function per write of devices: load, decide, store, emit; one transaction each."""

from services.devices.commands.adding import add_devices
from services.devices.commands.licenses import apply_licensing_events
from services.devices.commands.lookups import check_warranty, list_order_devices
from services.devices.commands.merges import apply_accounts_events, rehearse_merge
from services.devices.commands.possession import confirm_possession, prove_possession
from services.devices.commands.production import apply_order_events, register_production, update_production_staff
from services.devices.commands.projects import (
    apply_deletion_events,
    apply_project_events,
    archive_project,
    close_project,
    reopen_project,
)
from services.devices.commands.records import delete_device, move_devices, update_device

__all__ = [
    "add_devices",
    "apply_accounts_events",
    "apply_deletion_events",
    "apply_licensing_events",
    "apply_order_events",
    "apply_project_events",
    "archive_project",
    "check_warranty",
    "close_project",
    "confirm_possession",
    "delete_device",
    "list_order_devices",
    "move_devices",
    "prove_possession",
    "register_production",
    "rehearse_merge",
    "reopen_project",
    "update_device",
    "update_production_staff",
]
