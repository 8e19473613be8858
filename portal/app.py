"""The WSGI application: a page for each kind of link that mails carry. GET shows a form, POST consumes the token."""

import logging
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.wrappers import Request, Response

from portal import pages
from portal.gateway import Answer, Gateway, GatewayUnreachable
from portal.texts import LANGUAGES, TEXTS

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

_log = logging.getLogger(__name__)


class PortalRequest(Request):
    """A request with the limits of a form of three fields."""

    max_content_length = _MAX_FORM_BYTES
    max_form_memory_size = _MAX_FORM_BYTES
    max_form_parts = 10


@dataclass(frozen=True, slots=True)
class Page:
    """A page behind a link: its fields, and the calls that its form stands for."""

    name: str
    fields: tuple[pages.Field, ...]
    act: Callable[[Gateway, dict[str, str]], Answer]


def _activate(gateway: Gateway, form: dict[str, str]) -> Answer:
    return gateway.call("POST", "/v1/registrations/confirmations", {"token": form["token"]}, key=form["key"])


def _reset(gateway: Gateway, form: dict[str, str]) -> Answer:
    body = {"token": form["token"], "password": form["password"]}
    return gateway.call("POST", "/v1/password-resets/confirmations", body, key=form["key"])


def _change_email(gateway: Gateway, form: dict[str, str]) -> Answer:
    return gateway.call("POST", "/v1/me/email-changes/confirmations", {"token": form["token"]}, key=form["key"])


def _accept(gateway: Gateway, form: dict[str, str]) -> Answer:
    # Who accepts must be logged in. The portal keeps no sessions yet, so it opens one for this and ends it.
    session = gateway.call("POST", "/v1/sessions", {"email": form["email"], "password": form["password"]})
    if not session.is_success:
        return session
    token = str(session.body.get("access_token", ""))
    body = {"token": form["token"]}
    answer = gateway.call("POST", "/v1/invitations/acceptances", body, key=form["key"], token=token)
    gateway.call("DELETE", "/v1/sessions/current", token=token)
    return answer


_EMAIL = pages.Field("email", "email", "field.email", "username")
_PASSWORD = pages.Field("password", "password", "field.password", "current-password", 1, 128)
_NEW_PASSWORD = pages.Field("password", "password", "field.new_password", "new-password", 8, 128)

# The paths are those that accounts writes into its mails.
PAGES = {
    "/activate": Page("activate", (), _activate),
    "/reset": Page("reset", (_NEW_PASSWORD,), _reset),
    "/email-change": Page("email_change", (), _change_email),
    "/invitation": Page("invitation", (_EMAIL, _PASSWORD), _accept),
}


class Portal:
    """The WSGI application."""

    def __init__(self, gateway_address: str) -> None:
        """Remember where the gateway is, like `http://127.0.0.1:8000`."""
        self._gateway_address = gateway_address

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        request = PortalRequest(environ)
        language = _language(request)
        try:
            response = self._answer(request, language)
        except NotFound as error:
            response = _html(pages.text_page(language, "not_found.title", "not_found.text"), error.code)
        except HTTPException as error:
            response = _html(pages.failure_page(language, error.name), error.code or 500)
            if isinstance(error, MethodNotAllowed):
                response.headers["Allow"] = "GET, HEAD, POST"
        except GatewayUnreachable as error:
            _log.warning("gateway unreachable: %s", error)
            response = _html(pages.failure_page(language, TEXTS[language]["failed.unreachable"]), 503)
            response.headers["Retry-After"] = "5"
        except Exception:  # noqa: BLE001 - the visitor gets a sentence, the log gets all of it
            _log.exception("page failed")
            response = _html(pages.failure_page(language, TEXTS[language]["failed.internal"]), 500)
        response.headers["Content-Language"] = language
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
        names = ("token", "key", *(field.name for field in page.fields))
        form = {name: request.form.get(name, "") for name in names}
        if not all(form.values()):
            return _html(pages.failure_page(language, TEXTS[language]["failed.form"]), 400)
        gateway = Gateway(self._gateway_address, language, request.remote_addr or "")
        answer = page.act(gateway, form)
        if answer.is_success:
            return _html(pages.text_page(language, f"{page.name}.title", f"{page.name}.done"))
        return _html(pages.failure_page(language, answer.detail), answer.status)


def _language(request: PortalRequest) -> str:
    wanted = (value.partition("-")[0].lower() for value in request.accept_languages.values())
    return next((value for value in wanted if value in LANGUAGES), "en")


def _show(page: Page, request: PortalRequest, language: str) -> Response:
    token = request.args.get("token", "")
    if not token:
        return _html(pages.failure_page(language, TEXTS[language]["failed.no_token"]), 400)
    return _html(pages.form_page(language, page.name, page.fields, token=token, key=str(uuid.uuid4())))


def _html(content: str, status: int | None = 200) -> Response:
    return Response(content, status, _HEADERS, mimetype="text/html")
