"""Marks of the companies that have a device: who knows a company's id can compare them, nobody reads one from them."""

from __future__ import annotations

import hashlib


def holder_mark(hardware_id: str, company_id: str) -> str:
    """Return the mark of a company at one device; nobody reads the company from it, or finds it at another device (S9).

    Args:
        hardware_id: of the device.
        company_id: of a company that has it.
    """
    return hashlib.sha256(f"{hardware_id}/{company_id}".encode()).hexdigest()[:32]
