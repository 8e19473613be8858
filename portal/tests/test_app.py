"""The plain pages: GET never consumes, POST does, and nothing from outside gets out unescaped."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import eventlet
import eventlet.wsgi
import pytest
from markupsafe import escape
from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

from portal import app, pages
from portal.app import PAGES, Portal
from portal.texts import TEXTS
from services.chassis.languages import LANGUAGES

TOKEN = 'abc"><script>alert(1)</script>'


class GatewayDouble:
    """Answers as told and remembers what it was asked."""

    address = ""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, Any], dict[str, str]]] = []
        self.answers: dict[str, tuple[int, dict[str, Any]]] = {}

    def app(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        self.calls.append((request.method, request.path, request.get_json(silent=True) or {}, dict(request.headers)))
        status, body = self.answers.get(request.path, (204, {}))
        response = Response(json.dumps(body) if body else "", status, mimetype="application/json")
        # So that nobody compares it with the gateway's OpenAPI document (`tests/openapi/watch.py`).
        response.headers["X-Test-Double"] = "gateway"
        return response(environ, start_response)


@pytest.fixture
def gateway() -> Iterator[GatewayDouble]:
    double = GatewayDouble()
    listener = eventlet.listen(("127.0.0.1", 0))
    double.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    serving = eventlet.spawn(eventlet.wsgi.server, listener, double.app, log_output=False)
    yield double
    serving.kill()
    listener.close()


@pytest.fixture
def portal(gateway: GatewayDouble) -> Client:
    return Client(Portal(gateway.address))


FORMS = {
    "/activate": ({}, "/v1/registrations/confirmations", {"token": TOKEN}),
    "/reset": (
        {"password": "correct horse"},
        "/v1/password-resets/confirmations",
        {"token": TOKEN, "password": "correct horse"},
    ),
    "/email-change": (
        {"email": "ann@example.com", "password": "secret"},
        "/v1/me/email-changes/confirmations",
        {"token": TOKEN},
    ),
    "/email-undo": ({}, "/v1/email-changes/undos", {"token": TOKEN}),
    "/invitation": (
        {"email": "ann@example.com", "password": "secret"},
        "/v1/invitations/acceptances",
        {"token": TOKEN},
    ),
}


def test_every_page_is_tested() -> None:
    assert FORMS.keys() == PAGES.keys()


@pytest.mark.parametrize("path", FORMS)
def test_opening_a_link_calls_nothing_and_shows_a_form_with_the_token_escaped(
    portal: Client, gateway: GatewayDouble, path: str
) -> None:
    response = portal.get(path, query_string={"token": TOKEN})
    assert response.status_code == 200
    assert gateway.calls == []
    assert "<script>" not in response.text
    assert "abc&#34;&gt;&lt;script&gt;" in response.text
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", FORMS)
def test_sending_the_form_consumes_the_token_once_per_form(portal: Client, gateway: GatewayDouble, path: str) -> None:
    fields, route, body = FORMS[path]
    gateway.answers["/v1/sessions"] = (201, {"access_token": "access"})
    form = re.search(r'name="key" value="([^"]+)"', portal.get(path, query_string={"token": TOKEN}).text)
    assert form is not None
    response = portal.post(path, data={"token": TOKEN, "key": form[1], **fields})
    assert response.status_code == 200
    assert TEXTS["en"][f"{PAGES[path].name}.done"] in response.text
    method, _, sent, headers = next(call for call in gateway.calls if call[1] == route)
    assert (method, sent, headers["Idempotency-Key"]) == ("POST", body, form[1])


def test_invitation_uses_a_session_and_ends_it(portal: Client, gateway: GatewayDouble) -> None:
    gateway.answers["/v1/sessions"] = (201, {"access_token": "access"})
    portal.post("/invitation", data={"token": "t", "key": "k", "email": "ann@example.com", "password": "secret"})
    assert [(call[0], call[1]) for call in gateway.calls] == [
        ("POST", "/v1/sessions"),
        ("POST", "/v1/invitations/acceptances"),
        ("DELETE", "/v1/sessions/current"),
    ]
    assert gateway.calls[1][3]["Authorization"] == "Bearer access"


@pytest.mark.parametrize("path", ["/invitation", "/email-change"])
def test_a_second_factor_is_sent_along(portal: Client, gateway: GatewayDouble, path: str) -> None:
    """Issue 6.2: an invitation could not be accepted with a second factor."""
    gateway.answers["/v1/sessions"] = (201, {"access_token": "access"})
    form = {"token": "t", "key": "k", "email": "ann@example.com", "password": "secret", "otp": "123456"}
    assert portal.post(path, data=form).status_code == 200
    assert gateway.calls[0][2] == {"email": "ann@example.com", "password": "secret", "otp": "123456"}
    assert 'name="otp" type="text" minlength' in portal.get(path, query_string={"token": "t"}).text


@pytest.mark.parametrize("path", ["/invitation", "/email-change"])
@pytest.mark.parametrize(("language", "words"), [("en", "second factor"), ("de", "zweiter Faktor")])
def test_who_needs_a_second_factor_first_is_told_so_and_keeps_the_link(
    portal: Client, gateway: GatewayDouble, path: str, language: str, words: str
) -> None:
    """Issue 6.2: a company's demand; such a login is good for nothing else, so the link is not tried with it."""
    session = {"access_token": "a.b.c", "otp_demanded": True}
    gateway.answers["/v1/sessions"] = (201, session)
    form = {"token": "t", "key": "k", "email": "a@b.de", "password": "secret"}
    answer = portal.post(path, data=form, headers={"Accept-Language": language})
    assert answer.status_code == 403
    assert words in answer.text
    assert "/v1/me/otp/confirmations" in answer.text
    assert [(method, asked) for method, asked, _, _ in gateway.calls] == [
        ("POST", "/v1/sessions"),
        ("DELETE", "/v1/sessions/current"),
    ]
    session["otp_demanded"] = False
    assert portal.post(path, data=form).status_code == 200


def test_activation_asks_for_a_password_where_the_address_was_registered_twice(
    portal: Client, gateway: GatewayDouble
) -> None:
    """Issue 6.2: registration taken over by a second registration and a resend."""
    route = "/v1/registrations/confirmations"
    gateway.answers[route] = (409, {"code": "accounts.password_needed", "detail": "Choose."})
    asked = portal.post("/activate", data={"token": TOKEN, "key": "k"})
    assert asked.status_code == 409
    assert TEXTS["en"]["activate_again.button"] in asked.text
    key = re.search(r'name="key" value="([^"]+)"', asked.text)
    assert key is not None
    assert key[1] != "k"
    gateway.answers[route] = (204, {})
    done = portal.post("/activate", data={"token": TOKEN, "key": key[1], "password": "chosen horse"})
    assert TEXTS["en"]["activate.done"] in done.text
    assert gateway.calls[-1][2] == {"token": TOKEN, "password": "chosen horse"}


def test_failed_login_accepts_no_invitation_and_tells_why(portal: Client, gateway: GatewayDouble) -> None:
    gateway.answers["/v1/sessions"] = (401, {"detail": "E-mail or password is wrong."})
    response = portal.post("/invitation", data={"token": "t", "key": "k", "email": "a@b.example", "password": "x"})
    assert response.status_code == 401
    assert "E-mail or password is wrong." in response.text
    assert [call[1] for call in gateway.calls] == ["/v1/sessions"]


def test_refusal_is_shown_in_the_gateways_words_and_escaped(portal: Client, gateway: GatewayDouble) -> None:
    gateway.answers["/v1/registrations/confirmations"] = (409, {"detail": "Der Link ist <b>alt</b>."})
    response = portal.post("/activate", data={"token": "t", "key": "k"}, headers={"Accept-Language": "de-CH, en;q=0.5"})
    assert response.status_code == 409
    assert "Der Link ist &lt;b&gt;alt&lt;/b&gt;." in response.text
    assert TEXTS["de"]["failed.title"] in response.text
    assert gateway.calls[0][3]["Accept-Language"] == "de"


@pytest.mark.parametrize(
    ("wanted", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-CH, en;q=0.5", "de"),
        ("fr, de;q=0.8, en;q=0.9", "en"),
        ("fr", "en"),
        ("*", "en"),
        ("de-AT", "de"),
        ("de;q=0", "en"),
        ("de;q=0, en;q=0.1", "en"),
        ("en;q=0, *", "de"),
        ("de;q=0.5, *", "en"),
        ("de;q=x, ;;;, \x7f, =", "en"),
        (",".join(["xx"] * 1500) + ",de", "de"),
    ],
)
def test_language_is_the_best_one_we_have(portal: Client, wanted: str, language: str) -> None:
    response = portal.get("/", headers={"Accept-Language": wanted})
    assert response.headers["Content-Language"] == language
    assert response.headers["Vary"] == "Accept-Language"
    assert TEXTS[language]["home.text"] in response.text


@pytest.mark.parametrize(
    ("method", "path", "data", "status"),
    [
        ("GET", "/activate", None, 400),
        ("POST", "/activate", {"token": "t"}, 400),
        ("POST", "/reset", {"token": "t", "key": "k"}, 400),
        ("PUT", "/activate", None, 405),
        ("POST", "/", None, 404),
        ("GET", "/nothing", None, 404),
        ("POST", "/reset", {"token": "t" * 20_000, "key": "k", "password": "long enough"}, 413),
    ],
)
def test_bad_request_is_told_apart_and_calls_nothing(
    portal: Client, gateway: GatewayDouble, method: str, path: str, data: dict[str, str] | None, status: int
) -> None:
    response = portal.open(path, method=method, data=data)
    assert response.status_code == status
    assert response.mimetype == "text/html"
    assert gateway.calls == []
    german = portal.open(path, method=method, data=data, headers={"Accept-Language": "de"})
    assert any(escape(text) in german.text for name, text in TEXTS["de"].items() if name[:3] in ("fai", "not"))
    assert "Not " not in german.text
    assert "Request" not in german.text


def test_unreachable_gateway_is_503_with_a_plain_sentence() -> None:
    listener = eventlet.listen(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    response = Client(Portal(f"http://127.0.0.1:{port}")).post("/activate", data={"token": "t", "key": "k"})
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert TEXTS["en"]["failed.unreachable"] in response.text


def _facts(text: str) -> list[str]:
    """Return what a text tells beyond words: what is filled in, numbers, units, and names that both languages have."""
    found = re.findall(r"\{\w+\}|%\w|\d+|KiB|API|Tessera|Gateway", text.replace("gateway", "Gateway"))
    return sorted([*found, *(["1 min"] if re.search(r"\ba minute\b|\beiner Minute\b", text) else [])])


@pytest.mark.parametrize("name", sorted(TEXTS["en"]))
def test_languages_have_the_same_texts_with_the_same_facts(name: str) -> None:
    english = TEXTS["en"][name]
    for language in LANGUAGES:
        assert TEXTS[language].keys() == TEXTS["en"].keys(), language
        text = TEXTS[language][name]
        assert _facts(text) == _facts(english)
        assert text.strip()
        assert language == "en" or text != english or name == "home.title"


def test_only_texts_that_are_there_are_asked_for() -> None:
    source = "".join(Path(module.__file__ or "").read_text("utf-8") for module in (app, pages))
    asked = set(re.findall(r'"((?:failed|field|not_found|home)\.\w+)"', source))
    asked |= {f"{page.name}.{part}" for page in PAGES.values() for part in ("title", "text", "button", "done")}
    assert asked <= TEXTS["en"].keys()
    left = {name for name in TEXTS["en"] if name not in asked and not name.startswith("activate_again.")}
    assert left == set()
