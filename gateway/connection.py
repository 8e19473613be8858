"""One HTTP connection on a green socket: requests read and answers written within limits (rules G2 to G4).

HTTP itself is h11's, which refuses what is ambiguous. This module owns time and size: nobody may hold a
connection by sending slowly, send more than the limit, or learn the text of an exception. It knows no routes.
"""

from __future__ import annotations

import contextlib
import re
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import eventlet
import h11
import structlog
from eventlet import greenio
from eventlet.green import socket

from gateway.limits import Rules
from gateway.messages import Request, Response
from gateway.target import split_target, without_port
from services.chassis.addresses import forwarded
from services.chassis.errors import ServiceError, invalid, unavailable
from services.chassis.ids import new_id

log = structlog.get_logger()

_NOT_IN_ID = re.compile(r"[^A-Za-z0-9._:-]")
_ID_LENGTH = 64
_RECEIVE_BYTES = 65536
# These decide who asks, what is meant and where a body ends: two of them leave that open.
_SINGLE = frozenset({"host", "authorization", "content-type", "content-length", "idempotency-key", "if-match"})
_SECURITY_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


class Disconnected(Exception):
    """The client is gone or too slow to be answered."""


class Connection:
    """One client's connection: requests one after the other, each within the limits."""

    def __init__(self, rules: Rules, sock: Any, peer: str) -> None:
        self._rules = rules
        self._limits = rules.limits
        self._sock = sock
        self._peer = peer
        # The forwarded one once the head of a request through one of our proxies is read.
        self.address = peer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=rules.limits.head)
        self._deadline = 0.0
        self._closing = False
        self._length = 0
        self._host = ""
        self._taken = False
        # Monotonic time since when we wait for the client: for a head, a body, or that it reads an answer.
        self.waiting_since: float | None = time.monotonic()
        # Between the end of a head and the end of its answer; such a request is let finish when the server ends.
        self.in_request = False
        # There is no room: health is answered, and nothing else.
        self.is_aside = False
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def serve(self) -> None:
        """Serve requests until one side wants to end."""
        while not self._closing and not self._rules.stopping:
            self.waiting_since, self.in_request, self._taken = time.monotonic(), False, False
            self._deadline = self.waiting_since + (
                self._limits.aside_seconds if self.is_aside else self._limits.seconds
            )
            request: Request | None = None
            try:
                head = self._read_head()
                if head is None:
                    return
                self.waiting_since, self.in_request = None, True
                request = self._request_of(head)
                # Only now, so that a device is refused in the form that it can read.
                self._check_framing(request.headers)
                self._check_host()
                self._check_room(request)
                self._closing = self.is_aside
                response = self._rules.handler(request)
            except ServiceError as error:
                response = self._rules.problem(error, request)
            except Disconnected:
                raise
            except Exception:
                log.exception("request_failed", request_id=request.id if request else None)
                response = self._rules.problem(ServiceError("internal", "service.internal"), request)
            self._answer(request, response)
            self._finish()
            # A client that always has its next request ready must not keep the others waiting.
            eventlet.sleep(0)

    def cut(self) -> None:
        """End the connection at once; its green thread notices at its next read or write."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the socket back."""
        greenio.shutdown_safe(self._sock)
        with contextlib.suppress(OSError):
            self._sock.close()

    # --- reading -------------------------------------------------------------------------------------------------

    def _read_head(self) -> h11.Request | None:
        """Return the next request's head, None when the client ended the connection between requests."""
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                self._closing = True
                self.waiting_since = None
                raise _unreadable(error) from None
            if isinstance(event, h11.Request):
                return event
            if isinstance(event, h11.ConnectionClosed):
                return None
            if event is h11.NEED_DATA:
                try:
                    self._receive()
                except TimeoutError:
                    self._closing = True
                    if not self._http.trailing_data[0]:
                        return None
                    raise invalid(
                        "request.timeout",
                        "The request did not arrive within 15 seconds; send it again, whole and without a pause.",
                    ) from None

    def _receive(self, until: float | None = None) -> None:
        """Hand the next bytes to h11; an empty read tells it that the client has finished.

        Args:
            until: a time before the deadline of this request.

        Raises:
            TimeoutError: the deadline of this request has passed.
            Disconnected: the connection broke.
        """
        left = min(self._deadline, until or self._deadline) - time.monotonic()
        if left <= 0:
            raise TimeoutError
        try:
            self._sock.settimeout(left)
            data = self._sock.recv(_RECEIVE_BYTES)
        except TimeoutError:
            raise
        except OSError:
            raise Disconnected from None
        self._http.receive_data(data)

    def _request_of(self, head: h11.Request) -> Request:
        # Who sends an ambiguous head may mean another end of this request than we do: nothing after it is read.
        self._closing = True
        headers: dict[str, str] = {}
        size = len(head.target)
        for raw_name, raw_value in head.headers:
            size += len(raw_name) + len(raw_value) + 4
            name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
            if name in headers:
                if name in _SINGLE:
                    raise invalid("request.bad_request", f"The header {name} appears twice; send it once.")
                value = f"{headers[name]}, {value}"
            headers[name] = value
        # h11 bounds only what it cannot read yet, not a head that came in one piece.
        if size > self._limits.head:
            raise _head_too_large()
        path, query, authority = split_target(head.target.decode("latin-1"))
        self._host = authority or headers.get("host", "")
        self.address = self._client_address(headers)
        return Request(
            method=head.method.decode("ascii"),
            path=path,
            query=query,
            headers=headers,
            address=self.address,
            id=new_id(),
            client_id=_NOT_IN_ID.sub("", headers.get("x-request-id", ""))[:_ID_LENGTH],
            read_body=self._read_body,
        )

    def _check_room(self, request: Request) -> None:
        """Refuse what there is no room for; health always has room (rule G9)."""
        if not self._rules.crowd.recognized(self) or (self.is_aside and request.path not in self._rules.health):
            self._closing = True
            raise unavailable("service.overloaded", "Too many connections are open; try again in a moment.")

    def _check_framing(self, headers: dict[str, str]) -> None:
        if "transfer-encoding" in headers:
            raise invalid("request.length_required", "Chunked bodies are not accepted; send a Content-Length.")
        self._length = int(headers.get("content-length", "0"))

    def _check_host(self) -> None:
        if not self._rules.allowed_hosts:
            return
        name = self._host.strip().lower()
        if name not in self._rules.allowed_hosts and without_port(name) not in self._rules.allowed_hosts:
            raise invalid("request.host_refused", "This server does not answer for that Host; check the address.")

    def _client_address(self, headers: dict[str, str]) -> str:
        """Return the nearest address that is not one of our own proxies; what is no address is not believed (S24)."""
        address = self._peer
        chain = [part.strip() for part in headers.get("x-forwarded-for", "").split(",") if part.strip()]
        while address in self._rules.trusted_proxies and chain:
            # With a port, or as free text, each request would be a place of its own, and no budget would hold.
            before = forwarded(chain.pop())
            if before is None:
                break
            address = before
        return address

    def _read_body(self) -> bytes:
        """Return the whole body.

        Raises:
            request.too_large: it is announced as larger than the limit.
            request.timeout, request.bad_request: it did not arrive, or not whole.
        """
        if self._length > self._limits.body:
            raise invalid(
                "request.too_large",
                f"The body has {self._length} bytes; at most {self._limits.body} are accepted: send less at once.",
                length=self._length, limit=self._limits.body,
            )  # fmt: skip
        self._taken = True
        if self._http.they_are_waiting_for_100_continue:
            self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        parts: list[bytes] = []
        got = 0
        self.waiting_since = started = time.monotonic()
        while True:
            try:
                event = self._http.next_event()
                if isinstance(event, h11.Data):
                    parts.append(bytes(event.data))
                    got += len(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    self.waiting_since = None
                    return b"".join(parts)
                else:
                    self._receive(started + self._limits.body_grace_seconds + got / self._limits.body_rate)
            except TimeoutError:
                self._closing = True
                raise _too_slow(got, self._length) from None
            except h11.RemoteProtocolError:
                self._closing = True
                raise invalid(
                    "request.bad_request", "The body is shorter than its Content-Length; send it whole."
                ) from None

    # --- writing -------------------------------------------------------------------------------------------------

    def _answer(self, request: Request | None, response: Response) -> None:
        self.waiting_since = time.monotonic()
        self._deadline = self.waiting_since + self._limits.seconds
        bodiless = response.status in (204, 304)
        headers: list[tuple[str, str]] = [("Date", formatdate(usegmt=True))]
        if response.content_type and not bodiless:
            headers.append(("Content-Type", response.content_type))
        if not bodiless:
            headers.append(("Content-Length", str(len(response.body))))
        headers.extend(response.headers)
        own = {name.lower() for name, _ in response.headers}
        headers.extend(pair for pair in _SECURITY_HEADERS if pair[0].lower() not in own)
        if "cache-control" not in own:
            headers.append(("Cache-Control", "no-store"))
        if request is not None:
            headers.append(("X-Request-Id", request.id))
        if self._length > self._limits.body or self._rules.stopping:
            self._closing = True
        if self._closing:
            headers.append(("Connection", "close"))
        reason = _REASONS.get(response.status, b"")
        try:
            head = self._http.send(h11.Response(status_code=response.status, headers=headers, reason=reason)) or b""
            body = b""
            if not bodiless and (request is None or request.method != "HEAD"):
                body = self._http.send(h11.Data(data=response.body)) or b""
            self._write(head + body + (self._http.send(h11.EndOfMessage()) or b""))
        except h11.LocalProtocolError:
            # After a broken head h11 may hold the connection for unanswerable.
            raise Disconnected from None

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise Disconnected
            try:
                self._sock.settimeout(left)
                sent = self._sock.send(view)
            except OSError:
                raise Disconnected from None
            view = view[sent:]

    def _finish(self) -> None:
        """Get the connection ready for the next request, or end it so that the client still reads the answer."""
        if not self._closing and not self._taken and self._http.their_state is h11.SEND_BODY:
            self._drain_body()
        if self._closing or self._http.their_state is h11.MUST_CLOSE or self._http.our_state is h11.MUST_CLOSE:
            self._closing = True
            self._linger()
            return
        try:
            self._http.start_next_cycle()
        except h11.LocalProtocolError:
            self._closing = True

    def _drain_body(self) -> None:
        if self._http.they_are_waiting_for_100_continue:
            self._closing = True
            return
        self._deadline = time.monotonic() + self._limits.drain_seconds
        try:
            while not isinstance(event := self._http.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    self._receive()
        except (TimeoutError, h11.RemoteProtocolError):
            self._closing = True

    def _linger(self) -> None:
        # Closing with unread bytes sends a reset, and the client would lose the answer it was just given.
        with contextlib.suppress(OSError, TimeoutError):
            self._sock.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + self._limits.drain_seconds
            left = self._limits.drain
            while left > 0 and (seconds := deadline - time.monotonic()) > 0:
                self._sock.settimeout(seconds)
                data = self._sock.recv(_RECEIVE_BYTES)
                if not data:
                    return
                left -= len(data)


def _head_too_large() -> ServiceError:
    return invalid(
        "request.headers_too_large", "The request's head is larger than 16 KiB; send fewer or shorter headers."
    )


def _too_slow(got: int, length: int) -> ServiceError:
    text = f"{got} of {length} bytes of the body came in time; send it whole, without a pause, within 15 seconds."
    return invalid("request.timeout", text, received=got, length=length)


def _unreadable(error: h11.RemoteProtocolError) -> ServiceError:
    if error.error_status_hint == 431:
        return _head_too_large()
    return invalid("request.bad_request", "The request cannot be read as HTTP/1.1; correct it and send it again.")
