"""People of a company over HTTP: mails in their language, rights given and taken, ends that hold at once (ACC)."""

from __future__ import annotations

import base64
import email
import email.policy
import hashlib
import hmac
import json
import signal
import struct
import threading
import time
import uuid
from collections.abc import Callable

import pytest

from tests.integration.http_client import Answer, Person, eventually, mailed_token
from tests.integration.installation import Installation
from tests.integration.second_door import SecondDoor

PASSWORD = "correct horse battery staple"
NEW_PASSWORD = "another staple battery horse"


class People:
    """Makes people on one installation."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation

    def register(self, name: str, language: str = "en") -> tuple[Person, str]:
        """Return somebody new who is logged in, and the address."""
        address = f"{name}.{uuid.uuid4().hex[:8]}@example.com"
        person = self.installation.person()
        body = {
            "email": address, "password": PASSWORD, "forename": name.title(), "surname": "Muster", "language": language,
            "accept_terms": True,
        }  # fmt: skip
        assert person.post("/v1/registrations", body).expect(202) == {}
        person.post("/v1/registrations/confirmations", {"token": self.token(address, "activate")}).expect(204)
        return person.login(address, PASSWORD), address

    def admin(self, name: str, company: str) -> tuple[Person, str]:
        """Return somebody with a company of their own, and the address."""
        person, address = self.register(name)
        person.post("/v1/companies", {"name": company}).expect(201)
        return person.refresh(), address

    def token(self, address: str, page: str) -> str:
        """Return the token of the newest mailed link."""
        return mailed_token(self.installation.mail_folder, address, page)

    def again(self, address: str, password: str = PASSWORD) -> Person:
        """Return a further session of somebody."""
        return self.installation.person().login(address, password)


@pytest.fixture(scope="module")
def people(installation: Installation) -> People:
    """People of one installation."""
    return People(installation)


def member_of(admin: Person, people: People, name: str) -> tuple[Person, str, str]:
    """Return a new member of the admin's company, the address and the user id."""
    person, address = people.register(name)
    assert admin.post("/v1/company/users", {"email": address}).expect(201)["state"] == "invited"
    person.accept_invitations()
    return people.again(address), address, person.tokens["user"]["id"]


def ended(person: Person) -> bool:
    """Tell whether a login is dead."""
    return person.get("/v1/me").status == 401


def within_a_second(probe: Callable[[], bool], what: str) -> None:
    """Check that something becomes true within a second."""
    eventually(probe, what, 1.0)


def at_door(base: str, person: Person) -> Person:
    """Return the same login at another door."""
    there = Person(base)
    there.use(person.tokens)
    return there


def key_of(person: Person) -> str:
    """Return the id of the key that signed somebody's access token."""
    head = person.tokens["access_token"].partition(".")[0]
    kid: str = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]
    return kid


def one_time_code(secret: str, at: float) -> str:
    """Return the six digits of RFC 6238 for a time in seconds."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, struct.pack(">Q", int(at) // 30), hashlib.sha1).digest()
    offset = digest[-1] & 0x0F
    return f"{(struct.unpack('>I', digest[offset : offset + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"


def test_the_mail_is_in_the_language_of_the_person_as_text_and_html(people: People) -> None:
    _, address = people.register("greta", language="de")
    for path in people.installation.mail_folder.glob("*.eml"):
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        if address in str(message["To"]):
            plain, rich = message.get_body(("plain",)), message.get_body(("html",))
            assert plain is not None
            assert rich is not None
            assert "Konto" in plain.get_content()
            assert "<html" in rich.get_content()
            return
    raise AssertionError("no mail")


def test_a_locked_member_is_out_within_a_second_everywhere_and_may_come_back(people: People) -> None:
    admin, _ = people.admin("ann", "Ann Ltd")
    member, address, user_id = member_of(admin, people, "ben")
    second = people.again(address)
    member.get("/v1/company").expect(200)
    admin.send("PATCH", f"/v1/company/users/{user_id}", {"locked": True}).expect(200)
    within_a_second(lambda: ended(member) and ended(second), "both sessions of the locked member are dead")
    login = {"email": address, "password": PASSWORD}
    left = people.installation.person().post("/v1/sessions", login).expect(201)
    assert (left["company"], [one["locked"] for one in left["companies"]]) == (None, [True])
    wrong = {"email": address, "password": "wrong horse battery staple"}
    people.installation.person().post("/v1/sessions", wrong).refused(401, "accounts.login_failed")
    admin.send("PATCH", f"/v1/company/users/{user_id}", {"locked": False}).expect(200)
    people.again(address).get("/v1/company").expect(200)


def test_logout_and_a_new_password_end_what_they_must(people: People) -> None:
    person, address = people.admin("cora", "Cora Ltd")
    other = people.again(address)
    person.send("DELETE", "/v1/sessions/current").expect(204)
    within_a_second(lambda: ended(person), "the session that logged out is dead")
    other.get("/v1/me").expect(200)
    third = people.again(address)
    wrong = {"old_password": "wrong horse battery staple", "password": NEW_PASSWORD}
    assert other.send("PUT", "/v1/me/password", wrong).status in (403, 422)
    other.send("PUT", "/v1/me/password", {"old_password": PASSWORD, "password": NEW_PASSWORD}).expect(204)
    within_a_second(lambda: ended(third), "other sessions end with the old password")
    people.again(address, NEW_PASSWORD)


def test_a_forgotten_password_is_replaced_by_a_link_that_works_once(people: People) -> None:
    person, address = people.admin("dora", "Dora Ltd")
    nobody = people.installation.person()
    known = nobody.post("/v1/password-resets", {"email": address})
    unknown = nobody.post("/v1/password-resets", {"email": f"nobody.{uuid.uuid4().hex}@example.com"})
    assert (known.status, known.body) == (unknown.status, unknown.body) == (202, {})
    body = {"token": people.token(address, "reset"), "password": NEW_PASSWORD}
    nobody.post("/v1/password-resets/confirmations", body).expect(204)
    nobody.post("/v1/password-resets/confirmations", body).refused(404, "accounts.link_invalid")
    within_a_second(lambda: ended(person), "sessions end with the old password")
    people.again(address, NEW_PASSWORD)


def test_the_last_admin_stays_also_under_two_demotions_at_once(people: People) -> None:
    first, address = people.admin("eva", "Eva Ltd")
    own_id = first.tokens["user"]["id"]
    problem = first.send("PATCH", f"/v1/company/users/{own_id}", {"role": "member"})
    assert problem.status == 409
    second, _, second_id = member_of(first, people, "fritz")
    first.send("PATCH", f"/v1/company/users/{second_id}", {"role": "admin"}).expect(200)
    second.refresh()
    barrier, answers = threading.Barrier(2), []

    def demote(person: Person, user_id: str) -> None:
        barrier.wait(10)
        answers.append(person.send("PATCH", f"/v1/company/users/{user_id}", {"role": "member"}).status)

    threads = [threading.Thread(target=demote, args=pair) for pair in ((first, own_id), (second, second_id))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(answers) == [200, 409]
    users = people.again(address).get("/v1/company/users").expect(200)["items"]
    assert [user["role"] for user in users].count("admin") == 1


def test_somebody_with_a_company_is_invited_and_switches_between_both(people: People) -> None:
    host, _ = people.admin("gina", "Gina Ltd")
    guest, address = people.admin("hugo", "Hugo Ltd")
    assert host.post("/v1/company/users", {"email": address}).expect(201)["state"] == "invited"
    guest.post("/v1/invitations/acceptances", {"token": people.token(address, "invitation")}).expect(204)
    session = people.again(address)
    names = {company["name"]: company["id"] for company in session.tokens["companies"]}
    assert set(names) == {"Gina Ltd", "Hugo Ltd"}
    for name, company_id in names.items():
        body = {"refresh_token": session.tokens["refresh_token"], "company_id": company_id}
        session.use(session.post("/v1/sessions/refreshes", body).expect(201))
        assert session.get("/v1/company").expect(200)["name"] == name


def test_a_refresh_token_that_was_used_ends_the_session(people: People) -> None:
    person, _ = people.admin("ida", "Ida Ltd")
    old = person.tokens["refresh_token"]
    person.refresh()
    # A repetition right after a lost answer is allowed; a late one means that somebody has stolen the token.
    time.sleep(10.5)
    assert person.post("/v1/sessions/refreshes", {"refresh_token": old}).status == 401
    within_a_second(lambda: ended(person), "the session of a stolen refresh token is dead")


def test_api_tokens_do_what_their_scopes_say_and_end_when_deleted(people: People) -> None:
    person, _ = people.admin("jana", "Jana Ltd")
    made = person.post("/v1/me/tokens", {"name": "report", "scopes": ["read"]}).expect(201)
    reader = people.installation.person()
    reader.session.headers["Authorization"] = f"Bearer {made['token']}"
    assert len(reader.get("/v1/projects").expect(200)["items"]) == 1
    reader.post("/v1/projects", {"name": "x"}).refused(403, "accounts.scope_needed")
    person.post("/v1/me/tokens", {"name": "x", "scopes": ["events"]}).expect(403)
    person.send("DELETE", f"/v1/me/tokens/{made['id']}").expect(204)
    within_a_second(lambda: reader.get("/v1/projects").status == 401, "a deleted token is dead")


def test_a_second_factor_is_asked_and_a_code_works_once(people: People) -> None:
    person, address = people.admin("kurt", "Kurt Ltd")
    secret = person.post("/v1/me/otp").expect(201)["secret"]
    code = one_time_code(secret, time.time())
    recovery = person.post("/v1/me/otp/confirmations", {"otp": code}).expect(200)["recovery_codes"]
    login = {"email": address, "password": PASSWORD}
    nobody = people.installation.person()
    assert nobody.post("/v1/sessions", login).status == 401
    assert nobody.post("/v1/sessions", {**login, "otp": code}).status == 401, "a used code"
    fresh = one_time_code(secret, time.time() + 30)
    nobody.post("/v1/sessions", {**login, "otp": fresh}).expect(201)
    assert nobody.post("/v1/sessions", {**login, "otp": fresh}).status == 401, "a used code"
    nobody.post("/v1/sessions", {**login, "otp": recovery[0]}).expect(201)
    assert nobody.post("/v1/sessions", {**login, "otp": recovery[0]}).status == 401, "a used recovery code"


def test_no_spend_that_starts_after_a_lock_was_answered_succeeds(people: People) -> None:
    admin, _ = people.admin("lena", "Lena Ltd")
    member, _, user_id = member_of(admin, people, "mark")
    answers: list[tuple[float, Answer]] = []
    stop = threading.Event()

    def create_projects() -> None:
        while not stop.is_set():
            started = time.monotonic()
            answers.append((started, member.post("/v1/projects", {"name": uuid.uuid4().hex})))

    worker = threading.Thread(target=create_projects)
    worker.start()
    eventually(lambda: len(answers) > 5, "writes before the lock")
    admin.send("PATCH", f"/v1/company/users/{user_id}", {"locked": True}).expect(200)
    locked_at = time.monotonic()
    eventually(lambda: answers[-1][1].status == 401, "a refusal after the lock", 2)
    stop.set()
    worker.join(30)
    # The door that answered the lock knows it before its answer goes out; other doors within a second.
    late = [answer.status for started, answer in answers if started > locked_at]
    assert late
    assert 201 not in late
    assert answers[0][1].status == 201


def test_a_door_that_was_stopped_or_down_believes_no_ended_login(people: People) -> None:
    admin, _ = people.admin("paul", "Paul Ltd")
    (first, _, first_id), (second, _, second_id) = (member_of(admin, people, name) for name in ("quin", "rosa"))
    installation = people.installation

    def lock(user_id: str) -> None:
        admin.send("PATCH", f"/v1/company/users/{user_id}", {"locked": True}).expect(200)

    if installation.kind == "embedded":
        # The one door is the process: a lock of before its start holds from its first answer on.
        lock(first_id)
        assert installation.stop() == 0
        installation.start()
        assert ended(at_door(installation.base, first))
        at_door(installation.base, second).get("/v1/company").expect(200)
        return
    with SecondDoor(installation) as door:
        first, second = at_door(door.base, first), at_door(door.base, second)
        for person in (first, second):
            person.get("/v1/company").expect(200)
        door.process.send_signal(signal.SIGSTOP)
        lock(first_id)
        door.process.send_signal(signal.SIGCONT)
        within_a_second(lambda: ended(first), "a door that was paused learns the lock")
        second.get("/v1/company").expect(200)
        door.process.kill()
        lock(second_id)
        door.restart()
        assert ended(second), "the first answer of a door that was down"


def test_a_new_signing_key_logs_nobody_out(people: People) -> None:
    person, address = people.admin("sina", "Sina Ltd")
    old = key_of(person)
    people.installation.run("deploy.admin", "rotate-keys", "accounts", "tokens", "--lead-seconds", "3")
    newcomer = people.again(address)
    assert key_of(newcomer) == old
    asked = 0
    deadline = time.monotonic() + 15
    while key_of(newcomer) == old:
        assert time.monotonic() < deadline, "the new key signs after its lead"
        newcomer = people.again(address)
        for one in (person, newcomer):
            for path in ("/v1/me", "/v1/projects", "/v1/devices", "/v1/balance", "/v1/history"):
                one.get(path).expect(200)
                asked += 1
    assert asked > 10
    person.refresh().get("/v1/me").expect(200)
    assert key_of(person) == key_of(newcomer)


def test_strangers_are_slowed_down_and_do_not_keep_the_owner_out(people: People) -> None:
    _, address = people.admin("theo", "Theo Ltd")
    stranger = people.installation.person()
    stranger.session.headers["X-Forwarded-For"] = "198.51.100.7"
    wrong = {"email": address, "password": "wrong horse battery staple"}
    for _ in range(10):
        stranger.post("/v1/sessions", wrong).refused(401, "accounts.login_failed")
    refusal = stranger.post("/v1/sessions", {**wrong, "password": PASSWORD})
    refusal.refused(429, "accounts.too_many_attempts")
    assert 1 <= int(refusal.headers["Retry-After"]) <= 30
    # Where the owner logged in before, and wherever a mailed link was used, the door stays open.
    people.again(address)
    owner = people.installation.person()
    owner.session.headers["X-Forwarded-For"] = "203.0.113.9"
    owner.post("/v1/sessions", {**wrong, "password": PASSWORD}).refused(429, "accounts.too_many_attempts")
    owner.post("/v1/password-resets", {"email": address}).expect(202)
    body = {"token": people.token(address, "reset"), "password": NEW_PASSWORD}
    owner.post("/v1/password-resets/confirmations", body).expect(204)
    owner.login(address, NEW_PASSWORD)


def test_one_place_that_tries_many_accounts_is_slowed_down(people: People) -> None:
    stranger = people.installation.person()
    stranger.session.headers["X-Forwarded-For"] = "198.51.100.8"
    body = {"email": "", "password": PASSWORD}
    statuses = []
    for number in range(101):
        answer = stranger.post("/v1/sessions", {**body, "email": f"x{number}@example.com"})
        statuses.append(answer.status)
    assert statuses == [401] * 100 + [429]
    assert 1 <= int(answer.headers["Retry-After"]) <= 30
    elsewhere = people.installation.person()
    elsewhere.session.headers["X-Forwarded-For"] = "198.51.100.9"
    elsewhere.post("/v1/sessions", {**body, "email": "x@example.com"}).refused(401, "accounts.login_failed")


def test_what_staff_do_is_in_the_history_of_the_company(people: People) -> None:
    admin, address = people.admin("uwe", "Uwe Ltd")
    assert admin.company is not None
    company_id, user_id = admin.company["id"], admin.tokens["user"]["id"]
    staff = people.installation.staff()
    companies = staff.get("/v1/staff/companies", q="uwe ltd").expect(200)["items"]
    assert company_id in [company["id"] for company in companies]
    users = staff.get("/v1/staff/users", q=address).expect(200)["items"]
    assert [user["id"] for user in users] == [user_id]
    path = f"/v1/staff/companies/{company_id}"
    staff.send("PATCH", path, {"name": "Uwe & Co"}).expect(200)
    staff.send("PATCH", f"{path}/users/{user_id}", {"role": "member"}).refused(409, "accounts.last_admin")
    for body in ({"account_rights": ["MOVE_LICENSES"]}, {"locked": True}, {"locked": False}):
        staff.send("PATCH", f"/v1/staff/users/{user_id}", body).expect(200)
    project = people.again(address).get("/v1/projects").expect(200)["items"][0]
    correction = {"project_id": project["id"], "license_type": "port8", "quantity": 5, "reason": "test"}
    staff.post("/v1/staff/balance-corrections", correction).expect(201)
    expected = {"company_changed", "user_changed", "user_locked", "user_unlocked", "balance_corrected"}
    admin = people.again(address)
    staff_id = staff.tokens["user"]["id"]

    def told() -> set[str]:
        lines = admin.get("/v1/history", limit=200).expect(200)["items"]
        return {line["action"] for line in lines if line["actor"] and line["actor"]["id"] == staff_id}

    eventually(lambda: expected <= told(), "the acts of staff", 5)


def test_a_person_takes_the_data_along_and_is_forgotten(people: People) -> None:
    admin, _ = people.admin("nora", "Nora Ltd")
    member, address, user_id = member_of(admin, people, "otto")
    member.post("/v1/projects", {"name": "Otto's project"}).expect(201)
    export = member.get("/v1/me/export").expect(200)
    assert address in str(export)
    member.post("/v1/me/erasure", {"password": PASSWORD}).expect(204)
    within_a_second(lambda: ended(member), "an erased account is out")
    people.installation.person().post("/v1/sessions", {"email": address, "password": PASSWORD}).expect(401)

    def names() -> set[str]:
        lines = admin.get("/v1/history", action="project_created", limit=200).expect(200)["items"]
        return {line["actor"]["name"] for line in lines if line["actor"] and line["actor"]["id"] == user_id}

    eventually(lambda: names() == {"former user"}, "the history without a name", 5)
