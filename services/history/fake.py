"""History's double for the tests of other rooms: lines in memory, no access rules."""

from __future__ import annotations

from typing import Any

from services.chassis.context import Call


class FakeHistory:
    """Implements `HistoryClient`; tests put lines in and read them back newest first."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def add(self, **line: Any) -> None:
        """Put a line in; fields that are not given are null."""
        names = ("id", "at", "actor", "company_id", "project_id", "device_id", "hardware_id", "request_id")
        self.lines.append({**dict.fromkeys(names), "action": "", "subject": "", "data": {}, **line})

    def list_history(self, call: Call, **request: Any) -> dict[str, Any]:
        """Answer all lines that match `project` and `action`, in one page up to `limit`."""
        wanted = {"project_id": request.get("project"), "action": request.get("action")}
        items = [
            line
            for line in reversed(self.lines)
            if all(value is None or line[name] == value for name, value in wanted.items())
        ]
        return {"items": items[: request.get("limit", 50)], "next": None}
