"""Fifty people behind one address, one of whom guesses: nobody else is locked out, and the guesser gets nowhere (S24).

They come through a proxy that is trusted, as an office comes through its router and everybody through a portal.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.http_client import Person, mailed_token
from tests.integration.installation import Installation
from tests.integration.tenancy.people import PASSWORD

OFFICE, ELSEWHERE = "203.0.113.7", "198.51.100.9"
PEOPLE = 50


@pytest.fixture(scope="module")
def behind_a_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Give an installation of its own, since what is counted at an address would meet other journeys."""
    folder = tmp_path_factory.mktemp("shared") / "data"
    installation = Installation("embedded", folder, {"TESSERA_TRUSTED_PROXIES": "127.0.0.1"}).start()
    yield installation
    assert installation.stop() == 0


def at(installation: Installation, address: str) -> Person:
    """Return somebody who comes from an address."""
    person = installation.person()
    person.session.headers["X-Forwarded-For"] = address
    return person


def register(installation: Installation, address: str) -> str:
    """Return the e-mail address of a new account, made by somebody at an address."""
    person, email = at(installation, address), f"{uuid.uuid4().hex[:12]}@office.example"
    body = {
        "email": email, "password": PASSWORD, "forename": "Fay", "surname": "Fifty", "language": "en",
        "accept_terms": True,
    }  # fmt: skip
    person.post("/v1/registrations", body).expect(202)
    token = mailed_token(installation.mail_folder, email, "activate")
    person.post("/v1/registrations/confirmations", {"token": token}).expect(204)
    return email


def guess(installation: Installation, email: str, address: str) -> Any:
    """Return the code of a wrong login at an address."""
    answer = at(installation, address).post("/v1/sessions", {"email": email, "password": f"guess {uuid.uuid4()}"})
    assert answer.status in (401, 429), answer.content
    if answer.status == 429:
        assert int(answer.headers["Retry-After"]) >= 1
    return answer.body["code"]


def test_a_guesser_among_fifty_at_one_address_locks_nobody_else_out(behind_a_proxy: Installation) -> None:
    """Issue 6.2: the failures of one user of an office, or of a portal, shut all others out."""
    installation = behind_a_proxy
    with ThreadPoolExecutor(8) as pool:
        emails = list(pool.map(lambda _: register(installation, OFFICE), range(PEOPLE)))
        people = list(pool.map(lambda email: at(installation, OFFICE).login(email, PASSWORD), emails))
        victim, others = emails[0], emails[1:]
        # One account from the shared address: limited by itself, long before the address is.
        told = Counter(guess(installation, victim, OFFICE) for _ in range(20))
        assert told["accounts.login_failed"] <= 10, told
        assert told["accounts.too_many_attempts"] >= 10, told
        # And many accounts, until the address itself is slowed down for those not known there.
        strangers = [f"{uuid.uuid4().hex}@nobody.example" for _ in range(130)]
        told = Counter(pool.map(lambda email: guess(installation, email, OFFICE), strangers))
        assert told["accounts.too_many_attempts"] >= 20, told
        again = list(pool.map(lambda email: at(installation, OFFICE).login(email, PASSWORD), others))
        assert len(again) == PEOPLE - 1
        # Who is logged in goes on, the victim too; and from elsewhere the victim logs in.
        assert [person.get("/v1/me").status for person in people] == [200] * PEOPLE
    at(installation, ELSEWHERE).login(victim, PASSWORD)


def test_a_guesser_elsewhere_does_not_slow_down_the_victim_in_the_office(behind_a_proxy: Installation) -> None:
    installation = behind_a_proxy
    email = register(installation, "203.0.113.200")
    at(installation, "203.0.113.200").login(email, PASSWORD)
    told = Counter(guess(installation, email, "192.0.2.50") for _ in range(15))
    assert told["accounts.too_many_attempts"] >= 4, told
    at(installation, "203.0.113.200").login(email, PASSWORD)
