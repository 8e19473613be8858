"""Accounts as a running service: mails come out as files, tokens are believed, keys are public."""

from __future__ import annotations

import email
import inspect
import re
import time
from collections.abc import Callable, Iterator, Mapping
from email import policy
from pathlib import Path
from typing import Any

import pytest
from nameko.extensions import ENTRYPOINT_EXTENSIONS_ATTR

from services.accounts.service import AccountsService
from services.chassis.bus import identity
from services.chassis.bus.rpc import ServiceClient, standalone
from services.chassis.context import Call
from services.chassis.data.migrations import upgrade
from services.chassis.errors import ServiceError
from services.chassis.keys.tokens import verify
from services.chassis.service.entrypoints import Rpc
from services.chassis.service.runner import Runner
from services.chassis.service.topology import declare_topology
from services.chassis.settings import Settings
from tests.rig.waiting import wait_until

PASSWORD = "correct horse battery"


@pytest.fixture(params=["embedded", "rabbitmq"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Give settings of an installation in a folder of its own, on each broker."""
    amqp_uri = "embedded://" if request.param == "embedded" else str(request.getfixturevalue("vhost"))
    return Settings.from_environment(
        {
            "TESSERA_DATA_DIR": str(tmp_path),
            "TESSERA_AMQP_URI": amqp_uri,
            "TESSERA_PUBLIC_URL": "https://portal.example",
        }
    )


@pytest.fixture
def accounts(settings: Settings) -> Iterator[ServiceClient]:
    """Give a client of the running service."""
    upgrade("accounts", settings.service_migration_uri("accounts"))
    declare_topology(settings, [AccountsService])
    runner = Runner(settings, [AccountsService])
    runner.start()
    try:
        identity.use(settings, ["gateway"])
        with standalone(settings.amqp_uri, "gateway") as to:
            yield to("accounts")
    finally:
        runner.stop()


def soon(token: str = "") -> Call:
    """Return a call that may take ten seconds."""
    return Call(token=token, deadline=time.time() + 10)


def registration(**changes: Any) -> dict[str, Any]:
    """Return the registration form."""
    return {
        "email": "ada@example.org",
        "password": PASSWORD,
        "forename": "Ada",
        "surname": "Lovelace",
        "language": "de",
        "accept_terms": True,
        **changes,
    }


def test_a_registration_becomes_a_mail_file_whose_link_leads_to_a_login(
    accounts: ServiceClient, settings: Settings
) -> None:
    assert accounts.register(soon(), **registration()) == {}
    folder = settings.data_dir / "mail"
    [path] = wait_until(lambda: list(folder.glob("*.eml")), 10)
    assert path.stat().st_mode & 0o777 == 0o600
    message = email.message_from_bytes(path.read_bytes(), policy=policy.default)
    assert (message["To"], message["Subject"]) == ("ada@example.org", "Aktivieren Sie Ihr Konto")
    links = set()
    for kind in ("plain", "html"):
        body = message.get_body((kind,))
        assert body is not None
        links |= set(re.findall(r"https://portal\.example/activate\?token=([\w-]+)", body.get_content()))
    [token] = links
    accounts.confirm_registration(soon(), token=token)

    session = accounts.create_session(soon(), email="ada@example.org", password=PASSWORD)
    assert verify(session["access_token"])["sub"] == session["user"]["id"]
    call = soon(session["access_token"])
    assert accounts.get_me(call)["forename"] == "Ada"
    made = accounts.create_company(soon(session["access_token"]), name="Acme")
    fresh = accounts.renew_token(call, company_id=made["id"])
    assert accounts.get_company(soon(fresh["access_token"]))["role"] == "admin"


def test_calls_without_a_good_login_or_request_are_refused(accounts: ServiceClient) -> None:
    cases: list[tuple[Call, dict[str, Any], str]] = [
        (soon(), {}, "token.missing"),
        (soon("nonsense"), {}, "token.invalid"),
    ]
    for call, kwargs, code in cases:
        with pytest.raises(ServiceError) as caught:
            accounts.get_me(call, **kwargs)
        assert caught.value.code == code
    with pytest.raises(ServiceError) as caught:
        accounts.register(soon(), **registration(email="nonsense", extra=1))
    assert {error["pointer"] for error in caught.value.extra["errors"]} == {"/email", "/extra"}


def test_logins_wait_for_a_thread_and_not_the_other_way_round(accounts: ServiceClient) -> None:
    started = time.monotonic()
    with pytest.raises(ServiceError, match="login_failed"):
        accounts.create_session(soon(), email="nobody@example.org", password=PASSWORD)
    assert time.monotonic() - started < 5
    assert accounts.list_revocations(soon()) == {"items": []}


PUBLIC: Mapping[str, Mapping[str, Any]] = {
    "register": registration(email="forged@example.org", client_address="203.0.113.7"),
    "confirm_registration": {"token": "x"},
    "resend_registration": {"email": "forged@example.org"},
    "request_password_reset": {"email": "forged@example.org"},
    "confirm_password_reset": {"token": "x", "password": PASSWORD},
    "create_session": {"email": "forged@example.org", "password": PASSWORD, "client_address": "203.0.113.7"},
    "refresh_session": {"refresh_token": "x"},
    "exchange_token": {"token": "x"},
    "create_device_session": {"login": "forged@example.org", "password": PASSWORD},
    "undo_email_change": {"token": "x"},
    "list_revocations": {},
}


def test_what_needs_no_login_is_answered_to_the_gateway_alone(
    accounts: ServiceClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 6.3: any client of the broker could log in and register with an address of its own making."""
    open_methods = {
        name
        for name, method in inspect.getmembers(AccountsService)
        for entrypoint in getattr(method, ENTRYPOINT_EXTENSIONS_ATTR, ())
        if isinstance(entrypoint, Rpc) and (entrypoint.public or entrypoint.callers)
    } - {"read_events"}
    assert open_methods == set(PUBLIC)
    identity.use(settings, ["projects"])
    good = identity.sign
    captured = good("gateway", "accounts", "register", "captured", PUBLIC["register"])
    forgeries: dict[str, Callable[..., str | None]] = {
        "nobody": lambda *a: None,
        "another service": lambda caller, *a: good("projects", *a),
        "for another method": lambda caller, called, method, *a: good(caller, called, "get_me", *a),
        "for another request": lambda a, b, c, d, request: good(a, b, c, d, {**request, "client_address": "::1"}),
        "captured": lambda *a: captured,
        "nonsense": lambda *a: "nonsense",
    }

    def code(method: str) -> str:
        try:
            getattr(accounts, method)(soon(), **PUBLIC[method])
        except ServiceError as refusal:
            return refusal.code
        return "answered"

    for method in PUBLIC:
        for name, forged in forgeries.items():
            monkeypatch.setattr(identity, "sign", forged)
            assert code(method) == "service.caller_refused", (method, name)
        monkeypatch.setattr(identity, "sign", good)
        assert code(method) != "service.caller_refused", method
    # A token of a person is no service either.
    with_token = soon("a.b.c")
    with pytest.raises(ServiceError) as refusal:
        accounts.exchange_token(with_token, token="x")
    assert refusal.value.code == "service.caller_refused"
