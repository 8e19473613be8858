"""The WSGI application: a page for each kind of link that mails carry. GET shows a form, POST consumes the token."""

import logging
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from werkzeug.exceptions import ClientDisconnected, HTTPException, MethodNotAllowed, NotFound, RequestTimeout
from werkzeug.wrappers import Request, Response

from portal import pages
from portal.gateway import Answer, Gateway, GatewayUnreachable
from portal.texts import TEXTS
from services.chassis.languages import choose_language

_MAX_FORM_BYTES = 16 * 1024
_HEADERS = {
    # The address holds the token: nothing on the page may carry it elsewhere, and no cache may keep it.
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}

# Status of what the form's own reader refuses, and the text that says so.
_FAILURES = {405: "failed.method", 408: "failed.slow", 413: "failed.large"}
_log = logging.getLogger(__name__)


class PortalRequest(Request):
    """A request with the limits of a form of a few fields."""

    max_content_length = _MAX_FORM_BYTES
    max_form_memory_size = _MAX_FORM_BYTES
    max_form_parts = 10


@dataclass(frozen=True, slots=True)
class Page:
    """A page behind a link: its fields, and the calls that its form stands for.

    Args:
        name: of its texts.
        fields: of its form.
        act: what the form does.
        asks: a refusal's code that is answered by a second form, and that form's page.
    """

    name: str
    fields: tuple[pages.Field, ...]
    act: Callable[[Gateway, dict[str, str]], Answer]
    asks: "tuple[str, Page] | None" = None


def _activate(gateway: Gateway, form: dict[str, str]) -> Answer:
    body = {"token": form["token"]} | ({"password": form["password"]} if form.get("password") else {})
    return gateway.call("POST", "/v1/registrations/confirmations", body, key=form["key"])


def _reset(gateway: Gateway, form: dict[str, str]) -> Answer:
    body = {"token": form["token"], "password": form["password"]}
    return gateway.call("POST", "/v1/password-resets/confirmations", body, key=form["key"])


def _change_email(gateway: Gateway, form: dict[str, str]) -> Answer:
    return _logged_in(gateway, form, "/v1/me/email-changes/confirmations")


def _undo_email(gateway: Gateway, form: dict[str, str]) -> Answer:
    return gateway.call("POST", "/v1/email-changes/undos", {"token": form["token"]}, key=form["key"])


def _accept(gateway: Gateway, form: dict[str, str]) -> Answer:
    return _logged_in(gateway, form, "/v1/invitations/acceptances")


def _logged_in(gateway: Gateway, form: dict[str, str], path: str) -> Answer:
    # Who does this must be logged in. The portal keeps no sessions yet, so it opens one for this and ends it.
    names = ("email", "password", "otp") if form.get("otp") else ("email", "password")
    session = gateway.call("POST", "/v1/sessions", {name: form[name] for name in names})
    if not session.is_success:
        return session
    token = str(session.body.get("access_token", ""))
    if session.body.get("otp_demanded"):
        # Such a login can do nothing else, and the gateway's words about it are for programs; the link is not used up.
        answer = Answer(403, {"detail": TEXTS[gateway.language]["failed.otp_demanded"]})
    else:
        answer = gateway.call("POST", path, {"token": form["token"]}, key=form["key"], token=token)
    gateway.call("DELETE", "/v1/sessions/current", token=token)
    return answer


_EMAIL = pages.Field("email", "email", "field.email", "username")
_PASSWORD = pages.Field("password", "password", "field.password", "current-password", 1, 128)
_OTP = pages.Field("otp", "text", "field.otp", "one-time-code", 6, 32, required=False)
_NEW_PASSWORD = pages.Field("password", "password", "field.new_password", "new-password", 8, 128)

_ACTIVATE_AGAIN = Page("activate_again", (_NEW_PASSWORD,), _activate)

# The paths are those that accounts writes into its mails.
PAGES = {
    "/activate": Page("activate", (), _activate, ("accounts.password_needed", _ACTIVATE_AGAIN)),
    "/reset": Page("reset", (_NEW_PASSWORD,), _reset),
    "/email-change": Page("email_change", (_EMAIL, _PASSWORD, _OTP), _change_email),
    "/email-undo": Page("email_undo", (), _undo_email),
    "/invitation": Page("invitation", (_EMAIL, _PASSWORD, _OTP), _accept),
}


class Portal:
    """The WSGI application."""

    def __init__(self, gateway_address: str) -> None:
        """Remember where the gateway is, like `http://127.0.0.1:8000`."""
        self._gateway_address = gateway_address

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        request = PortalRequest(environ)
        language = choose_language(request.headers.get("Accept-Language", ""))
        try:
            response = self._answer(request, language)
        except NotFound as error:
            response = _html(pages.text_page(language, "not_found.title", "not_found.text"), error.code)
        except ClientDisconnected:
            # Half a form: whoever is still there was too slow.
            response = _html(pages.failure_page(language, TEXTS[language]["failed.slow"]), RequestTimeout.code)
        except HTTPException as error:
            why = _FAILURES.get(error.code or 0, "failed.form")
            response = _html(pages.failure_page(language, TEXTS[language][why]), error.code or 500)
            if isinstance(error, MethodNotAllowed):
                response.headers["Allow"] = "GET, HEAD, POST"
        except GatewayUnreachable as error:
            _log.warning("gateway unreachable: %s", error)
            response = _html(pages.failure_page(language, TEXTS[language]["failed.unreachable"]), 503)
            response.headers["Retry-After"] = "5"
        except Exception:  # noqa: BLE001 - the visitor gets a sentence, the log gets all of it
            _log.exception("page failed")
            response = _html(pages.failure_page(language, TEXTS[language]["failed.internal"]), 500)
        if response.mimetype == "text/html":
            response.headers["Content-Language"] = language
            response.headers["Vary"] = "Accept-Language"
        return response(environ, start_response)

    def _answer(self, request: PortalRequest, language: str) -> Response:
        if request.path == "/healthz" and request.method in {"GET", "HEAD"}:
            return Response("ok\n", mimetype="text/plain")
        # Mails that need no token lead to the login; until there is one, the front page says where things are.
        if request.path in {"/", "/login"} and request.method in {"GET", "HEAD"}:
            return _html(pages.text_page(language, "home.title", "home.text"))
        page = PAGES.get(request.path)
        if page is None:
            raise NotFound
        if request.method in {"GET", "HEAD"}:
            return _show(page, request, language)
        if request.method == "POST":
            return self._act(page, request, language)
        raise MethodNotAllowed

    def _act(self, page: Page, request: PortalRequest, language: str) -> Response:
        names = ["token", "key", *(field.name for field in page.fields)]
        needed = ["token", "key", *(field.name for field in page.fields if field.required)]
        if page.asks is not None:
            names += [field.name for field in page.asks[1].fields]
        form = {name: request.form.get(name, "") for name in names}
        if not all(form[name] for name in needed):
            return _html(pages.failure_page(language, TEXTS[language]["failed.form"]), 400)
        gateway = Gateway(self._gateway_address, language, request.remote_addr or "")
        answer = page.act(gateway, form)
        if answer.is_success:
            return _html(pages.text_page(language, f"{page.name}.title", f"{page.name}.done"))
        if page.asks is not None and answer.body.get("code") == page.asks[0] and not form.get("password"):
            again = page.asks[1]
            content = pages.form_page(language, again.name, again.fields, token=form["token"], key=str(uuid.uuid4()))
            return _html(content, answer.status)
        return _html(pages.failure_page(language, answer.detail), answer.status)


def _show(page: Page, request: PortalRequest, language: str) -> Response:
    token = request.args.get("token", "")
    if not token:
        return _html(pages.failure_page(language, TEXTS[language]["failed.no_token"]), 400)
    return _html(pages.form_page(language, page.name, page.fields, token=token, key=str(uuid.uuid4())))


def _html(content: str, status: int | None = 200) -> Response:
    return Response(content, status, _HEADERS, mimetype="text/html")
