"""The gateway as a nameko service: the only public door. It holds no data and decides nothing about the business."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import eventlet
import structlog
from nameko.extensions import DependencyProvider

from gateway.admission import Admission
from gateway.authentication import Authentication
from gateway.codes import all_codes
from gateway.handler import Handler
from gateway.http import HttpServer
from gateway.messages import Request, Response
from gateway.metrics import Metrics
from gateway.pages import HEALTH, healthz, pages
from gateway.problems import to_response
from gateway.readiness import Readiness
from gateway.router import Router
from gateway.routes import ROWS
from gateway.row import Reply
from services.chassis import metrics
from services.chassis.bus.rpc import Client
from services.chassis.context import Call
from services.chassis.data.outbox import Event
from services.chassis.errors import invalid, not_found, unavailable
from services.chassis.keys import tokens
from services.chassis.service import figures
from services.chassis.service.broadcast import Broadcast
from services.chassis.service.providers import SETTINGS_KEY
from services.chassis.settings import Settings

_READS: Final = ("GET", "HEAD")

log = structlog.get_logger()


class ClientRooms:
    """Calls the rooms through the clients that the service declares."""

    def __init__(self, clients: Mapping[str, Any]) -> None:
        self._clients = clients

    def call(self, service: str, rpc: str, call: Call, arguments: Mapping[str, Any]) -> Reply:
        """Call one RPC."""
        reply = self._clients[service].call_with_meta(call, rpc, **arguments)
        return Reply(reply.result, reply.replayed)


class Door(DependencyProvider):
    """Opens the public listener and the admin listener for the time that the container runs."""

    authentication: Authentication
    readiness: Readiness
    public: HttpServer
    admin: HttpServer
    # None until both ports are bound.
    _watch: Any = None

    def setup(self) -> None:
        """Put the parts together.

        Raises:
            SettingsError: a setting cannot work.
        """
        settings: Settings = self.container.config[SETTINGS_KEY]
        clients = {
            provider.service: provider.get_dependency(None)
            for provider in self.container.dependencies
            if isinstance(provider, Client)
        }
        rooms = ClientRooms(clients)
        self.authentication = Authentication(rooms, tokens.verify)
        self._broadcast = Broadcast(
            settings.amqp_uri, "accounts", "gateway", self._on_accounts_events, self.authentication.load_revocations
        )
        # There from the first start on until the demo world is made; nobody else writes or removes it.
        self.readiness = Readiness(rooms, self.authentication, settings.data_dir / "demo.pending")
        self._metrics = Metrics()
        self._admission = Admission()
        table = {**pages(all_codes()), "/readyz": self._readyz}
        handler = Handler(Router(ROWS), rooms, self.authentication, table, self._admission, self._metrics)
        self.public = HttpServer(
            settings.http,
            handler,
            to_response,
            allowed_hosts=settings.allowed_hosts,
            trusted_proxies=settings.trusted_proxies,
            health=HEALTH,
        )
        self.admin = HttpServer(
            settings.admin_http, self._admin, to_response, setting="TESSERA_ADMIN_HTTP", health=HEALTH
        )

    def start(self) -> None:
        """Bind the addresses and begin to watch the rooms."""
        self._broadcast.start()
        self.public.start()
        self.admin.start()
        self._watch = eventlet.spawn(self.readiness.run)
        log.info("gateway_listens", port=self.public.port, admin_port=self.admin.port)

    def stop(self) -> None:
        """Let requests in work finish, then close."""
        if self._watch is not None:
            self._watch.kill()
        self.public.stop()
        self.admin.stop()
        self._broadcast.stop()

    def _on_accounts_events(self, events: list[Event]) -> None:
        """Learn what ended or changed, so that a revoked token dies within a second."""
        for event in events:
            self.authentication.revocations.note(event)

    def _readyz(self, request: Request) -> Response:
        if self.readiness.missing():
            return to_response(unavailable("service.starting", "Not everything is there yet; try again."), request)
        return Response.of_json(200, {"status": "ready"})

    def _admin(self, request: Request) -> Response:
        """Answer on the admin listener; it is bound to an address that the public does not reach."""
        if request.method not in _READS:
            # Before anything is rendered: what is only read takes no body.
            detail = f"{request.method} is not for this address; {', '.join(_READS)} are."
            raise invalid("request.method_not_allowed", detail, allow=list(_READS))
        match request.path:
            case "/metrics":
                return Response(200, figures.page(), metrics.CONTENT_TYPE)
            case "/healthz":
                return healthz(request)
            case "/readyz" | "/details":
                missing = self.readiness.missing()
                details = {
                    "missing": missing,
                    "seconds_since_answer": self.readiness.details(),
                    "messaging": self.readiness.messaging,
                    "connections": self.public.connections,
                    "working": self._admission.working,
                    "waiting": self._admission.waiting,
                }
                return Response(503 if missing else 200, json.dumps(details).encode(), "application/json")
            case _:
                raise not_found("request.not_found", "There is nothing at this address.")


class GatewayService:
    """The public door: HTTP in, RPC out."""

    name = "gateway"

    accounts = Client("accounts")
    projects = Client("projects")
    devices = Client("devices")
    licensing = Client("licensing")
    history = Client("history")
    door = Door()
