"""Route of the history (room history)."""

from __future__ import annotations

from gateway import compose
from gateway.row import Right, Row
from services.history import api

ROWS = (
    Row(
        "GET", "/v1/history", "history", "list_history", Right.LOGIN,
        "List what happened in the company, by a user or to a device, newest first.",
        request=api.ListHistoryRequest, answer=api.ListHistoryAnswer, compose=compose.history,
    ),
)  # fmt: skip
