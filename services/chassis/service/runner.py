"""Runs service classes in this process until SIGTERM or SIGINT, on the embedded broker or a real one (rules D1, O2)."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import structlog
from eventlet.event import Event
from nameko.runners import ServiceRunner

from services.chassis.bus import embedded, identity
from services.chassis.bus.green import assert_green
from services.chassis.bus.rpc import Bus
from services.chassis.keys import tokens
from services.chassis.keys.pins import PinnedKeys
from services.chassis.service import declare
from services.chassis.service.admin import AdminListener
from services.chassis.service.providers import SETTINGS_KEY
from services.chassis.service.topology import declare_topology
from services.chassis.settings import Settings

MAX_WORKERS: Final = 10
STOP_SECONDS: Final = 35.0
_log = structlog.get_logger(__name__)


class Runner:
    """Runs services in this process.

    Args:
        settings: of the installation.
        services: nameko service classes.
        max_workers: how many requests each service works on at a time.
    """

    def __init__(self, settings: Settings, services: Iterable[type], *, max_workers: int = MAX_WORKERS) -> None:
        assert_green()
        if settings.strict:
            declare.be_strict()
        self._settings = settings
        self.classes = list(services)
        self._asked = Event()
        config = {
            "AMQP_URI": settings.amqp_uri,
            "max_workers": max_workers,
            "SERVICE_CONTAINER_CLS": "services.chassis.service.container.Container",
            SETTINGS_KEY: settings,
        }
        self._runner = ServiceRunner(config)
        for service in self.classes:
            self._runner.add_service(service)
        self._bus: Bus | None = None

    def start(self) -> None:
        """Declare what is needed on an embedded broker, then start all services and return once they are ready."""
        if self._settings.is_embedded:
            declare_topology(self._settings, self.classes)
        self._bus = Bus.of(self._settings.amqp_uri)
        identity.use(self._settings, [str(service.name) for service in self.classes if hasattr(service, "name")])
        tokens.use_verifier(tokens.TokenVerifier(PinnedKeys(token_pins(self._settings))))
        self._runner.start()

    def stop(self) -> None:
        """Stop taking requests, finish those at work, and close."""
        self._runner.stop()
        if self._bus is not None:
            self._bus.release()
            self._bus = None
        if self._settings.is_embedded:
            embedded.reset()

    def ask_to_stop(self, *_: Any) -> None:
        """Let `wait` return; safe to be called from a signal handler."""
        if not self._asked.ready():
            self._asked.send(True)

    def wait(self) -> int:
        """Wait for a signal or for the end of a service; returns the exit code."""
        signal.signal(signal.SIGTERM, self.ask_to_stop)
        signal.signal(signal.SIGINT, self.ask_to_stop)
        # The hub sleeps through signals, so it is woken now and then to see that it was asked.
        while not self._asked.wait(timeout=0.25):
            for name, container in self._runner.service_map.items():
                if container._died.ready():
                    _log.critical("a service has ended by itself", service_name=name)
                    return 1
        return 0


def token_pins(settings: Settings) -> Path:
    """Return the file that pins the public keys of access tokens; their owner writes it (rule S26)."""
    return settings.public_key_dir / tokens.ISSUER / f"{tokens.PURPOSE}.json"


def serve(
    settings: Settings, services: Iterable[type], *, max_workers: int = MAX_WORKERS, admin: str | None = None
) -> int:
    """Run services until this process is asked to stop; returns its exit code.

    Args:
        settings: of the installation.
        services: nameko service classes.
        max_workers: how many requests each service works on at a time.
        admin: role for which health and figures are served over HTTP; None for a process that does so itself.

    Raises:
        SettingsError: the address for that cannot be had; nothing runs then.
    """
    runner = Runner(settings, services, max_workers=max_workers)
    listener = AdminListener(settings, admin) if admin is not None else None
    if listener is not None:
        listener.start()
    runner.start()
    if listener is not None:
        listener.is_up = True
    _log.info("services run", services=[service.__name__ for service in runner.classes])
    code = runner.wait()
    runner.stop()
    if listener is not None:
        listener.stop()
    return code
