"""Import of another company over HTTP (ACC-6): rehearsed, done, seen by everybody as one company, audited.

The tests of this module are steps of one story and run in order; each installation tells it once.
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from tests.integration.http_client import Answer, Person, eventually
from tests.integration.import_world import (
    PASSWORD,
    add,
    balance,
    email_of,
    finished,
    found,
    history,
    login_of,
    macs,
    register,
    stock,
)
from tests.integration.installation import Installation


@dataclass
class Story:
    """Two companies with devices and licenses, one device in both, and a third that works in the other's project."""

    installation: Installation
    staff: Person
    ours: Person
    other: Person
    member: Person
    guest: Person
    hardware: list[str]
    project: str = ""
    other_project: str = ""
    records: dict[str, str] = field(default_factory=dict)
    other_records: dict[str, str] = field(default_factory=dict)
    token: str = ""
    preview: dict[str, Any] = field(default_factory=dict)
    job: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def story(installation: Installation) -> Story:
    """Make the two companies."""
    ours = found(installation, "ada", "Ours Ltd")
    other = found(installation, "otto", "Other Ltd")
    guest = found(installation, "gwen", "Guest Ltd")
    member = register(installation, "mia")
    other.post("/v1/company/users", {"email": email_of(member)}).expect(201)
    member.accept_invitations()
    story = Story(installation, installation.staff(), ours, other, member, guest, macs(3))
    both, mine, theirs = story.hardware
    story.project, story.records = stock(story.staff, ours, [both, mine], {"operators7": 10, "pbx7-100": 1})
    licenses = {"operators7": 30, "softwarephones7": 5, "pbx7-100": 1}
    story.other_project, story.other_records = stock(story.staff, other, [theirs], licenses)
    story.other_records |= add(other, story.other_project, [both])
    lines = [{"license_type": "pbx7-100", "quantity": 1}, {"license_type": "operators7", "quantity": 4}]
    path = f"/v1/devices/{story.other_records[theirs]}/licenses"
    other.post(path, {"licenses": lines}).expect(201)
    for owner, project, email in (
        (ours, story.project, email_of(other)),
        (other, story.other_project, email_of(ours)),
        (other, story.other_project, email_of(guest)),
    ):
        owner.post(f"/v1/projects/{project}/rights", {"email": email}).expect(201)
    story.token = member.post("/v1/me/tokens", {"name": "box", "scopes": ["read", "device"]}).expect(201)["token"]
    for person in (ours, other):
        eventually(lambda p=person: history(p, action="project_right_granted"), "the histories", 20)  # type: ignore[misc]
    return story


def test_who_may_not_imports_nothing(story: Story) -> None:
    story.ours.post("/v1/company/imports", {**login_of(story.other), "password": "wrong password"}).refused(
        422, "accounts.import_login_failed"
    )
    story.ours.post("/v1/company/imports", login_of(story.member)).refused(409, "accounts.import_admin_needed")
    story.ours.post("/v1/company/imports", login_of(story.ours)).refused(422, "accounts.import_own_company")
    story.member.post("/v1/company/imports", login_of(story.guest)).refused(403, "accounts.admin_needed")
    assert {item["foreign"] for item in story.other.get("/v1/projects").expect(200)["items"]} == {True, False}


def test_the_rehearsal_tells_what_will_move_and_changes_nothing(story: Story) -> None:
    before = (balance(story.ours), balance(story.other), story.ours.get("/v1/projects").expect(200)["items"])
    preview = story.ours.post("/v1/company/imports", login_of(story.other), dry_run="true").expect(200)
    assert preview["company"]["name"] == "Other Ltd"
    assert preview["users"] == {"moving": 2, "already_members": 0, "admins": 1, "invitations": 0, "api_tokens": 1}
    assert preview["projects"] == {
        "count": 1,
        "renamed_count": 1,
        "renamed": [{"id": story.other_project, "name": "DEFAULT", "new_name": "DEFAULT (Other Ltd)"}],
    }
    assert preview["rights"] == {"granted": 2, "received": 1, "dissolved": 2}
    moving = {item["license_type"]: item["quantity"] for item in preview["balance"]["items"]}
    assert moving == balance(story.other) == {"operators7": 26, "softwarephones7": 5}
    assert preview["activation_keys"] == {"added": 1, "created": 0}
    assert preview["devices"] == {"count": 2, "held_by_both_count": 1, "held_by_both": [story.hardware[0]]}
    assert preview["history"]["lines"] > 5
    assert "token" not in preview
    after = (balance(story.ours), balance(story.other), story.ours.get("/v1/projects").expect(200)["items"])
    assert after == before
    story.preview = preview


def test_the_import_is_a_job_that_ends_and_its_repetition_the_same(story: Story) -> None:
    key = str(uuid.uuid4())
    answer = story.ours.post("/v1/company/imports", login_of(story.other), key=key)
    job = answer.expect(202)
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    again = story.ours.post("/v1/company/imports", login_of(story.other), key=key)
    assert again.expect(202) == job
    assert again.headers["Idempotent-Replayed"] == "true"
    story.job = finished(story.ours, job)
    moved = story.job["result"]["moved"]
    assert moved["accounts"]["moving"] == story.preview["users"]["moving"]
    assert moved["projects"] == {"projects": 1, "renamed": 1, "rights_dissolved": 2, "rights_passed": 0}
    assert moved["devices"] == {"devices": 2, "joined": 1}
    story.ours.post("/v1/company/imports", login_of(story.other)).refused(409, "accounts.import_admin_needed")
    story.guest.get(f"/v1/jobs/{job['id']}").refused(404, "accounts.job_not_found")


def test_with_the_old_token_everything_is_ours(story: Story) -> None:
    ours = story.ours
    names = {item["name"]: (item["id"], item["foreign"]) for item in ours.get("/v1/projects").expect(200)["items"]}
    assert names == {"DEFAULT": (story.project, False), "DEFAULT (Other Ltd)": (story.other_project, False)}
    assert balance(ours) == {"operators7": 36, "softwarephones7": 5, "pbx7-100": 1}
    users = {item["email"]: item["role"] for item in ours.get("/v1/company/users").expect(200)["items"]}
    assert users == {email_of(ours): "admin", email_of(story.other): "member", email_of(story.member): "member"}
    both, _, theirs = story.hardware
    listed = {item["hardware_id"]: item["id"] for item in ours.get("/v1/devices").expect(200)["items"]}
    assert listed == {**story.records, theirs: story.other_records[theirs]}
    for record in (story.records[both], story.other_records[both]):
        shown = ours.get(f"/v1/devices/{record}").expect(200)
        assert (shown["id"], shown["project_id"]) == (story.records[both], story.project)
    installed = ours.get(f"/v1/devices/{story.other_records[theirs]}/licenses").expect(200)["items"]
    assert {line["license_type"]: line["quantity"] for line in installed} == {"pbx7-100": 1, "operators7": 4}
    keys = ours.get("/v1/activations").expect(200)["items"]
    assert {item["project"]["id"] for item in keys} == {story.project, story.other_project}


def test_both_balances_are_spent_together(story: Story) -> None:
    theirs = story.other_records[story.hardware[2]]
    body = {"licenses": [{"license_type": "operators7", "quantity": 30}], "sources": [story.project]}
    story.ours.post(f"/v1/devices/{theirs}/licenses", body).expect(201)
    assert balance(story.ours)["operators7"] == 6


def test_the_history_is_one(story: Story) -> None:
    lines = eventually(lambda: history(story.ours, action="company_merge_finished"), "the last line", 20)
    assert len(lines) == 1
    companies = {line["company_id"] for line in history(story.ours)}
    assert companies == {story.ours.tokens["company"]["id"], story.preview["company"]["id"]}
    both = story.hardware[0]
    by_id = [
        history(story.ours, context="device", id=records[both]) for records in (story.records, story.other_records)
    ]
    assert by_id[0] == by_id[1]
    assert sorted(line["action"] for line in by_id[0]).count("device_added") == 2


def test_the_other_companys_people_go_on_as_members(story: Story) -> None:
    story.other.get("/v1/projects").refused(401, "token.revoked")
    refresh = {"refresh_token": story.other.tokens["refresh_token"]}
    story.other.post("/v1/sessions/refreshes", refresh).refused(401, "accounts.refresh_invalid")
    story.other.login(email_of(story.other), PASSWORD)
    assert story.other.company is not None
    assert (story.other.company["name"], story.other.company["role"]) == ("Ours Ltd", "member")
    assert balance(story.other) == balance(story.ours)
    story.other.get(f"/v1/jobs/{story.job['id']}").refused(403, "accounts.admin_needed")
    mailed = [
        path for path in story.installation.mail_folder.glob("*.eml") if email_of(story.other) in path.read_text()
    ]
    assert any("another" in path.read_text() for path in mailed)


def test_api_tokens_and_guests_go_on(story: Story) -> None:
    headers = {"Authorization": f"Bearer {story.token}"}
    shown = requests.get(f"{story.installation.base}/v1/projects", headers=headers, timeout=30)
    assert shown.status_code == 200
    assert {item["id"] for item in shown.json()["items"]} == {story.project, story.other_project}
    guests = story.guest.get("/v1/projects").expect(200)["items"]
    (foreign,) = [item for item in guests if item["foreign"]]
    assert (foreign["id"], foreign["name"], foreign["company"]["name"]) == (
        story.other_project,
        "DEFAULT (Other Ltd)",
        "Ours Ltd",
    )


def test_the_address_of_a_member_leads_to_the_new_company(story: Story) -> None:
    project = next(item["id"] for item in story.guest.get("/v1/projects").expect(200)["items"] if not item["foreign"])
    right = story.guest.post(f"/v1/projects/{project}/rights", {"email": email_of(story.other)}).expect(201)
    assert right["company_id"] == story.ours.tokens["company"]["id"]
    story.ours.post(f"/v1/projects/{story.project}/rights", {"email": email_of(story.other)}).refused(
        422, "projects.own_company"
    )


def test_two_imports_that_cross_have_one_winner(story: Story) -> None:
    one = found(story.installation, "uno", "One Ltd")
    two = found(story.installation, "duo", "Two Ltd")
    answers: dict[str, Answer] = {}
    barrier = threading.Barrier(2)

    def run(person: Person, other: Person) -> None:
        barrier.wait(30)
        answers[email_of(person)] = person.post("/v1/company/imports", login_of(other))

    threads = [threading.Thread(target=run, args=pair) for pair in ((one, two), (two, one))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    winners = [person for person in (one, two) if answers[email_of(person)].status == 202]
    assert len(winners) == 1, {name: answer.content for name, answer in answers.items()}
    winner = winners[0]
    (loser,) = [person for person in (one, two) if person is not winner]
    assert answers[email_of(loser)].status in (401, 409), answers[email_of(loser)].content
    finished(winner, answers[email_of(winner)].body)
    loser.login(email_of(loser), PASSWORD)
    winner.login(email_of(winner), PASSWORD)
    assert loser.tokens["company"]["id"] == winner.tokens["company"]["id"]
    assert (winner.company or {})["role"] == "admin"
    assert len(winner.get("/v1/projects").expect(200)["items"]) == 2


def test_a_chain_of_imports_ends_in_one_company(story: Story) -> None:
    first, second, third = (found(story.installation, name, f"{name} Ltd") for name in ("prima", "secunda", "tertia"))
    second.post("/v1/company/imports", login_of(third)).expect(202)
    # Not waited for: the rooms may not have heard of the first one yet.
    job = first.post("/v1/company/imports", login_of(second)).expect(202)
    finished(first, job)
    names = {item["name"] for item in first.get("/v1/projects").expect(200)["items"]}
    assert names == {"DEFAULT", "DEFAULT (secunda Ltd)", "DEFAULT (tertia Ltd)"}
    for person in (second, third):
        person.login(email_of(person), PASSWORD)
        assert (person.company or {})["id"] == first.tokens["company"]["id"]


def test_the_audit_is_clean(story: Story) -> None:
    assert "clean" in story.installation.run("deploy.audit").stdout
