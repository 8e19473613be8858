"""The five rooms in the order in which calls go, who is called before who calls, and the door in front of them."""

from __future__ import annotations

import importlib

ROOMS = ("accounts", "projects", "devices", "licensing", "history")
GATEWAY = "gateway"


def service_class(role: str) -> type:
    """Import the nameko class of a role; only then, so that a process loads what it runs and nothing else."""
    module = "gateway.service" if role == GATEWAY else f"services.{role}.service"
    found: type = getattr(importlib.import_module(module), f"{role.capitalize()}Service")
    return found
