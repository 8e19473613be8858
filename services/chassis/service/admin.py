"""A room's own small listener for its health and its figures; the gateway has a better one of its own.

It reads one line and a few headers, answers and closes. It takes no body, knows three addresses and no login, and is
for the machine itself or a private network (README, "How somebody would steal here").
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import eventlet
import structlog
from eventlet.greenio import GreenSocket
from eventlet.greenpool import GreenPool

from services.chassis import metrics
from services.chassis.keys.keyfiles import write_private
from services.chassis.listening import listener
from services.chassis.service import figures
from services.chassis.service.health import instance
from services.chassis.settings import Settings

FOLDER: Final = "admin"
"""In the data folder: a file for each process that took a free port, in the form of Prometheus' `file_sd_configs`."""
_AT_ONCE: Final = 8
_HEAD_BYTES: Final = 8192
_SECONDS: Final = 5.0
_LINE: Final = re.compile(rb"(GET|HEAD) (/[a-z]*)(?:\?[^ \r\n]*)? HTTP/1\.[01]")
_HOST: Final = re.compile(rb"\r\nhost:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)", re.IGNORECASE)
_REASONS: Final = {200: "OK", 400: "Bad Request", 404: "Not Found", 503: "Service Unavailable"}

_log = structlog.get_logger(__name__)


class AdminListener:
    """Serves `/metrics`, `/healthz` and `/readyz` of this process.

    Args:
        settings: name the address; port 0 takes a free one, and a file in the data folder tells which.
        role: of this process.
    """

    def __init__(self, settings: Settings, role: str) -> None:
        self._settings = settings
        self._role = role
        self._pool = GreenPool(_AT_ONCE)
        self._acceptor: Any = None
        self._file: Path | None = None
        self.port = settings.admin_http[1]
        self.is_up = False
        """Whether the process has started what it runs; who starts it says so."""

    def start(self) -> None:
        """Bind the address and tell it.

        Raises:
            SettingsError: the port is in use, or the address cannot be listened on.
        """
        self._listener = GreenSocket(listener(self._settings.admin_http, "TESSERA_ADMIN_HTTP"))
        host, self.port = self._settings.admin_http[0], self._listener.getsockname()[1]
        if not self._settings.admin_http[1]:
            self._tell(f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}")
        self._acceptor = eventlet.spawn(self._accept)
        _log.info("admin_listens", role=self._role, host=host, port=self.port)

    def stop(self) -> None:
        """Close, and take the file away."""
        if self._acceptor is not None:
            self._acceptor.kill()
            self._listener.close()
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def _tell(self, address: str) -> None:
        folder = self._settings.data_dir / FOLDER
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = folder / f"{instance()}.json"
        labels = {"role": self._role, "process": instance()}
        write_private(self._file, f"{json.dumps([{'targets': [address], 'labels': labels}])}\n".encode())

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError as error:
                _log.warning("accept_failed", error=type(error).__name__)
                eventlet.sleep(0.05)
                continue
            # Waits while as many as may are being answered.
            self._pool.spawn_n(self._serve, sock)

    def _serve(self, sock: Any) -> None:
        try:
            with eventlet.Timeout(_SECONDS, False):
                head = b""
                while b"\r\n\r\n" not in head and len(head) <= _HEAD_BYTES:
                    piece = sock.recv(4096)
                    if not piece:
                        return
                    head += piece
                sock.sendall(self.answer(head))
        except OSError:
            _log.debug("admin connection broke")
        finally:
            sock.close()

    def answer(self, head: bytes) -> bytes:
        """Return the answer to the head of a request."""
        line = _LINE.match(head)
        hosts = _HOST.findall(head)
        if line is None or b"\r\n\r\n" not in head or len(hosts) != 1:
            return _response(400, b"This is no request for this address.\n")
        if not self._is_ours(hosts[0].decode("latin-1").lower()):
            return _response(400, b"This listener does not answer for that Host; see TESSERA_ALLOWED_HOSTS.\n")
        pages: dict[bytes, Callable[[], bytes]] = {
            b"/metrics": lambda: _response(200, figures.page(), metrics.CONTENT_TYPE),
            b"/healthz": lambda: _response(200, b'{"status":"alive"}', "application/json"),
            b"/readyz": self._readiness,
        }
        page = pages.get(line[2])
        whole = page() if page is not None else _response(404, b"There is nothing at this address.\n")
        return whole if line[1] == b"GET" else whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

    def _is_ours(self, host: str) -> bool:
        """Tell whether a name is one of ours; a web page of elsewhere can give its own name our address, no more."""
        name = re.sub(r":\d{1,5}$", "", host)
        if name in self._settings.allowed_hosts:
            return True
        try:
            ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def _readiness(self) -> bytes:
        if not self.is_up or figures.unready():
            return _response(503, b'{"status":"starting"}', "application/json")
        return _response(200, b'{"status":"ready"}', "application/json")


def _response(status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
