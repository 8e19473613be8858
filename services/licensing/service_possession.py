"""The part of licensing's nameko class that serves possession of devices. No rules in here."""

from __future__ import annotations

from typing import Any

from services.chassis.bus.rpc import Client
from services.chassis.context import Call
from services.chassis.service.entrypoints import rpc
from services.chassis.service.providers import DatabaseProvider, SettingsProvider
from services.licensing.api import possession as api
from services.licensing.commands import possession


class PossessionEntrypoints:
    """Entrypoints of possession; `LicensingService` inherits them."""

    database = DatabaseProvider()
    settings = SettingsProvider()
    devices = Client("devices", vouches=("confirm_possession",))

    @rpc(api.ProvePossessionRequest)
    def prove_possession(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Prove possession of a device by its order's number or by its certified key (DEV-15).

        Raises: devices.device_not_found, access.power_needed, devices.malformed_order_number,
            devices.order_not_found, devices.not_in_order, devices.throttled, access.power_needed,
            licensing.possession_proof_invalid, licensing.possession_proof_expired, licensing.possession_key_claimed.
        Emits: certificate_revoked.
        """
        return possession.prove_possession(self.database, call, request, devices=self.devices)

    @rpc(api.GetPossessionRequest)
    def get_possession(self, call: Call, request: dict[str, Any]) -> dict[str, Any]:
        """Tell the gateway which actions with a device need a proof of possession first (DEV-15).

        Raises: devices.device_not_found.
        """
        allowed = self.settings.claimed_certificates
        return possession.get_possession(self.database, call, request, devices=self.devices, claims_allowed=allowed)
