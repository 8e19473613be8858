"""The device's word that a company has it in hand (docs/reference/license-files.md, Possession)."""

from __future__ import annotations

from clients.device.device import Device
from clients.device.errors import DeviceError
from clients.device.formats import write_possession


def prove_possession(device: Device, record: str) -> str:
    """Return a device's signed word that a company has it in hand, to be uploaded within a day.

    Args:
        device: with its key and certificate.
        record: id of that company's record of the device, as its portal shows it.

    Raises:
        DeviceError: `not_ready` when the device has no certificate yet.
    """
    key = device.state.key()
    if key is None or device.state.certificate() is None:
        raise DeviceError("not_ready", "The device has no certificate yet; its key proves nothing without one.")
    return write_possession(key, device.hardware_id, record)
