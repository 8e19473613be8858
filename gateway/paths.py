"""Path parameters: what can be nobody's id is read as the id that nobody has.

So a malformed id is answered byte for byte like an unknown one, by whichever room, after the same questions about who
asks and what they may do (api.md, "One word for one thing").
"""

from __future__ import annotations

import re
from typing import Final

from services.devices.api import (
    NOBODYS_HARDWARE,
    NOBODYS_NUMBER,
    MalformedIdError,
    MalformedOrderNumberError,
    canonical_hardware_id,
    canonical_order_number,
)

_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SERIAL: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
# The last id of all times; devices keeps an address and a number that no order may have.
NOBODYS_ID: Final = "ffffffff-ffff-7fff-bfff-ffffffffffff"


def read_parameter(name: str, value: str, *, is_id: bool = False) -> str:
    """Return a path parameter as the rooms get it: as it came where it can be an id of its kind, else nobody's.

    Args:
        name: of the parameter; its kind follows from it.
        value: decoded, of any characters and length.
        is_id: whether the serial number is an id, as those of files are and those of certificates are not.
    """
    if name == "hardware_id":
        return value if _is_hardware_id(value) else NOBODYS_HARDWARE
    if name == "number":
        return value if _is_order_number(value) else NOBODYS_NUMBER
    if name == "serial":
        return value if (_ID if is_id else _SERIAL).fullmatch(value) else NOBODYS_ID
    if name == "session_id" and value == "current":
        return value
    if name == "id" or name.endswith("_id"):
        return value if _ID.fullmatch(value) else NOBODYS_ID
    return value


def _is_hardware_id(value: str) -> bool:
    # Outer blanks are cut from what somebody pasted, not from an address.
    if len(value) > 64 or not value.isascii() or value != value.strip():
        return False
    try:
        canonical_hardware_id(value)
    except MalformedIdError:
        return False
    return True


def _is_order_number(value: str) -> bool:
    if len(value) > 64 or value != value.strip():
        return False
    try:
        canonical_order_number(value)
    except MalformedOrderNumberError:
        return False
    return True
