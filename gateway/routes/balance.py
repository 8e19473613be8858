"""Routes of balances and activation keys (room licensing)."""

from __future__ import annotations

from gateway import compose
from gateway.row import Right, Row
from services.licensing import api
from services.projects.api import ADD, SEE

ROWS = (
    Row(
        "GET", "/v1/balance", "licensing", "get_balance", Right.COMPANY,
        "Show the balance of one project, or of all own projects together.",
        power=SEE, request=api.GetBalanceRequest, answer=api.Balance,
    ),
    Row(
        "POST", "/v1/activations", "licensing", "activate_key", Right.COMPANY,
        "Add an activation key to a project; a rehearsal lists what is in it.",
        power=ADD, request=api.ActivateKeyRequest, answer=api.Activation, status=201, dry_run=True,
    ),
    Row(
        "GET", "/v1/activations", "licensing", "list_activations", Right.COMPANY,
        "List the keys that were added to a project, or to all own projects.",
        power=SEE, request=api.ListActivationsRequest, answer=api.AddedKeyList, compose=compose.activations,
    ),
)  # fmt: skip
