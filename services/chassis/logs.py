"""Structured logs: one JSON object a line, UTC, the request id on each, secrets never (rule S21)."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

_SECRET_NAMES = ("password", "token", "secret", "passphrase", "otp", "authorization", "activation_key")


def _hide_secrets(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    return {name: _without_secrets(name, value) for name, value in event.items()}


def _without_secrets(name: object, value: Any) -> Any:
    """Return a value without what is secret by its name, at any depth."""
    if isinstance(name, str) and any(word in name.lower() for word in _SECRET_NAMES):
        return "***"
    if isinstance(value, dict):
        return {inner: _without_secrets(inner, inside) for inner, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(None, inside) for inside in value]
    return value


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
