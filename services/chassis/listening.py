"""Ports to listen on: taken alone, and a taken one is told in one line (rule G10)."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from services.chassis.settings import SettingsError


def listener(address: tuple[str, int], setting: str, *, backlog: int = 256) -> Any:
    """Return a listening socket that shares its port with nobody.

    Args:
        address: host and port; port 0 takes a free one.
        setting: name of the setting that chose it, for the refusal.
        backlog: connections that wait to be accepted.

    Raises:
        SettingsError: the port is in use, or the address cannot be listened on.
    """
    made = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Lets a restart follow at once; a port on which somebody listens stays refused.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(backlog)
    except OSError as error:
        made.close()
        raise SettingsError(cannot_listen(address, setting, error)) from None
    return made


def check_free(addresses: dict[str, tuple[str, int]]) -> None:
    """Refuse before anything is started when one of several addresses cannot be listened on.

    Args:
        addresses: by the name of their setting.

    Raises:
        SettingsError: one of them cannot be had.
    """
    for setting, address in addresses.items():
        if address[1]:
            listener(address, setting).close()


def cannot_listen(address: tuple[str, int], setting: str, error: OSError) -> str:
    """Return the one line that tells why an address cannot be listened on."""
    host, port = address
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use; set {setting}"
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"cannot listen on {host}:{port}: {reason}; set {setting}"
