"""Issue 6.2: a session is where its token is: the administrator there sees and ends it, that of before does not."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from tests.integration.http_client import Person, eventually
from tests.integration.installation import Installation
from tests.integration.tenancy.people import PASSWORD, claims_of, found, join, register

Move = Callable[[Person, str], None]


def session_of(person: Person) -> str:
    """Return the id of a person's session."""
    return str(claims_of(person.tokens["access_token"])["sid"])


def company_of(person: Person) -> str:
    """Return the id of the company that a person's tokens are for."""
    assert person.company is not None
    return str(person.company["id"])


def seen(admin: Person, person: Person) -> bool:
    """Tell whether an administrator sees a person's session; one whose user is unknown there sees none."""
    answer = admin.get(f"/v1/company/users/{person.tokens['user']['id']}/sessions", limit=200)
    if answer.status == 404:
        return False
    return session_of(person) in [item["id"] for item in answer.expect(200)["items"]]


def end(admin: Person, person: Person) -> int:
    """Let an administrator end a person's session; returns the status."""
    user_id = person.tokens["user"]["id"]
    return admin.send("DELETE", f"/v1/company/users/{user_id}/sessions/{session_of(person)}").status


def switch(person: Person, company_id: str) -> None:
    """Switch a session to another company."""
    body = {"refresh_token": person.tokens["refresh_token"], "company_id": company_id}
    person.use(person.post("/v1/sessions/refreshes", body).expect(201))


def is_dead(person: Person) -> bool:
    """Tell whether a session is ended."""
    return person.get("/v1/me").status == 401


def in_both(installation: Installation) -> tuple[Person, Person, Person]:
    """Return the administrators of two companies, and a member of both whose session is in the first."""
    name = uuid.uuid4().hex[:6]
    first, second = (found(installation, "Ada", f"{which}{name}", f"{which} {name}") for which in ("One", "Two"))
    person = register(installation, "Bob", name)
    for admin in (first, second):
        join(admin, person)
    switch(person, company_of(first))
    return first, second, person


def test_a_switch_takes_the_session_along(installation: Installation) -> None:
    first, second, person = in_both(installation)
    assert (seen(first, person), seen(second, person)) == (True, False)
    switch(person, company_of(second))
    assert (seen(first, person), seen(second, person)) == (False, True)
    assert end(first, person) == 404
    assert not is_dead(person)
    assert end(second, person) == 204
    eventually(lambda: is_dead(person), "the session is ended")


def test_an_old_token_that_is_confirmed_takes_the_session_back(installation: Installation) -> None:
    """Else a session is kept in a company whose administrator sees none: switch, confirm the token of before."""
    first, second, person = in_both(installation)
    old = person.session.headers["Authorization"]
    switch(person, company_of(second))
    person.session.headers["Authorization"] = old
    person.confirm()
    assert person.get("/v1/company").expect(200)["id"] == company_of(first)
    assert (seen(first, person), seen(second, person)) == (True, False)
    assert end(second, person) == 404
    assert end(first, person) == 204
    eventually(lambda: is_dead(person), "the session is ended")


def test_an_old_token_that_the_gateway_renews_takes_the_session_back(installation: Installation) -> None:
    first, second, person = in_both(installation)
    user_id = person.tokens["user"]["id"]
    old = str(person.session.headers["Authorization"])
    switch(person, company_of(second))
    first.send("PATCH", f"/v1/company/users/{user_id}", {"role": "admin"}).expect(200)
    person.session.headers["Authorization"] = old

    def moved() -> bool:
        person.get("/v1/company").expect(200)
        return seen(first, person) and not seen(second, person)

    eventually(moved, "the session is where its token is used")
    assert end(first, person) == 204
    eventually(lambda: is_dead(person), "the session is ended")


def test_a_login_without_a_company_is_seen_where_its_token_works(installation: Installation) -> None:
    """A login from before an invitation was accepted elsewhere gets tokens of the company by a confirmation."""
    name = uuid.uuid4().hex[:6]
    admin = found(installation, "Ada", name, f"Company {name}")
    person = register(installation, "Bob", name)
    other = installation.person().login(person.tokens["user"]["email"], PASSWORD)
    join(admin, other)
    assert not seen(admin, person)
    person.confirm()
    assert person.get("/v1/company").expect(200)["id"] == company_of(admin)
    assert seen(admin, person)
    assert end(admin, person) == 204
    eventually(lambda: is_dead(person), "the session is ended")


def test_a_founded_company_has_the_session_of_its_founder(installation: Installation) -> None:
    name = uuid.uuid4().hex[:6]
    person = found(installation, "Ada", name, f"First {name}")
    first = company_of(person)
    admin = installation.person().login(person.tokens["user"]["email"], PASSWORD)
    founded = person.post("/v1/companies", {"name": f"Second {name}"}).expect(201)["id"]
    assert company_of(admin) == first
    assert not seen(admin, person)
    person.refresh()
    assert company_of(person) == founded
    switch(admin, founded)
    assert seen(admin, person)
