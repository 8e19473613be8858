"""The device's side of licensing: key, certificate request, fetch, verify, decrypt, install, return (mission EDGE-2).

It is the reference for firmware writers and therefore imports nothing of the services: it knows only the published
formats (`docs/reference/license-files.md`) and the device door of the gateway.
"""

from clients.device.device import Device, Installed
from clients.device.errors import EXIT_CODES, DeviceError

__all__ = ["EXIT_CODES", "Device", "DeviceError", "Installed"]
