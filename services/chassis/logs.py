"""Structured logs: one JSON object a line, UTC, the request id on each, secrets never (rule S21)."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, Final

import structlog

_SECRET_NAMES: Final = re.compile("password|token|secret|passphrase|otp|authorization|activation_key", re.IGNORECASE)


def _hide_secrets(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    for name, value in event.items():
        if _SECRET_NAMES.search(name):
            event[name] = "***"
        elif isinstance(value, dict | list | tuple):
            event[name] = _without_secrets(value)
    return event


def _without_secrets(value: Any) -> Any:
    """Return a value without what is secret by its name, at any depth."""
    if isinstance(value, dict):
        return {
            name: "***" if isinstance(name, str) and _SECRET_NAMES.search(name) else _without_secrets(inner)
            for name, inner in value.items()
        }
    return [_without_secrets(inner) for inner in value] if isinstance(value, list | tuple) else value


def configure(service: str, level: str = "INFO") -> None:
    """Send the logs of this process to standard error as JSON lines.

    Args:
        service: name that stands on each line.
        level: standard level name; unknown names mean INFO.
    """
    number = logging.getLevelName(level)
    number = number if isinstance(number, int) else logging.INFO

    def add_service(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event.setdefault("service", service)
        return event

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        add_service,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hide_secrets,
    ]
    structlog.configure(
        processors=[
            *shared,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        # A line and its end in one write: processes of a fleet share the stream.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(sort_keys=True),
            ],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))
