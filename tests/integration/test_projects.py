"""Projects over HTTP: made, chosen, shared, archived, and deleted only when nothing is in them (PRJ-1 to PRJ-4).

Who may do what in a project, route by route, is the tenant matrix's; here a guest really works in one.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.http_client import Answer, Person, eventually
from tests.integration.installation import Installation
from tests.integration.tenancy import devices
from tests.integration.tenancy.people import found, join, register
from tests.integration.test_races import in_parallel

FIRST_MAC = 0xE00000
RACES = 12


@dataclass
class Scene:
    """A company with an administrator and a member, another company that is a guest, and staff."""

    installation: Installation
    staff: Person
    admin: Person
    member: Person
    guest: Person
    macs: Iterator[str]

    @property
    def guest_address(self) -> str:
        """Return the address of the guest."""
        address: str = self.guest.tokens["user"]["email"]
        return address

    def project(self, person: Person | None = None) -> str:
        """Make a project."""
        body = {"name": f"Project {uuid.uuid4().hex[:8]}"}
        made = (person or self.admin).post("/v1/projects", body).expect(201)
        return str(made["id"])

    def share(self, project: str) -> str:
        """Let the guest's company work in a project; returns its id."""
        right = self.admin.post(f"/v1/projects/{project}/rights", {"email": self.guest_address}).expect(201)
        return str(right["company_id"])

    def order(self, licenses: dict[str, int], count: int = 0) -> tuple[str, list[str]]:
        """Enter an order and return its key and its devices."""
        macs = [next(self.macs) for _ in range(count)]
        order = devices.order(self.staff, f"prj-{uuid.uuid4().hex[:12]}", macs, licenses)
        return str(order["activation_key"]), macs


@pytest.fixture(scope="module")
def scene(installation: Installation) -> Scene:
    """The people of these journeys."""
    mark = uuid.uuid4().hex[:6]
    admin = found(installation, "Paula", "Projektor", f"Projektor {mark} Ltd")
    member = join(admin, register(installation, "Mike", "Mitglied"))
    guest = found(installation, "Gustav", "Gastmann", f"Gastmann {mark} Ltd")
    return Scene(installation, installation.staff(), admin, member, guest, devices.macs(FIRST_MAC))


def _ids(person: Person, **query: Any) -> list[str]:
    return [item["id"] for item in person.get("/v1/projects", **query).expect(200)["items"]]


def _balance(person: Person, **query: Any) -> dict[str, int]:
    items = person.get("/v1/balance", **query).expect(200)["items"]
    return {item["license_type"]: item["quantity"] for item in items}


def test_names_are_unique_whatever_their_case_and_blanks(scene: Scene) -> None:
    name = f"Straße {uuid.uuid4().hex[:8]}"
    scene.admin.post("/v1/projects", {"name": f" {name} ", "description": "one"}).expect(201)
    for same in (name, f"  {name.upper()} ", name.replace("ß", "SS")):
        scene.member.post("/v1/projects", {"name": same}).refused(409, "projects.name_taken")
    for wrong in ("", "   ", "x" * 65):
        scene.admin.post("/v1/projects", {"name": wrong}).refused(422, "request.invalid")
    scene.guest.post("/v1/projects", {"name": name}).expect(201)
    scene.admin.post("/v1/projects", {"name": f"{uuid.uuid4().hex}{'x' * 32}"}).expect(201)


def test_a_change_of_what_was_not_read_is_refused(scene: Scene) -> None:
    path = f"/v1/projects/{scene.project()}"
    etag = scene.admin.get(path).headers["ETag"]

    def change(text: str) -> Answer:
        response = scene.admin.session.patch(
            scene.admin.base + path, json={"description": text}, headers={"If-Match": etag}, timeout=30
        )
        return Answer(response)

    change("one").expect(200)
    change("two").refused(412, "request.stale")
    assert scene.admin.get(path).expect(200)["description"] == "one"


def test_the_selected_project_is_remembered_per_user_and_company(scene: Scene) -> None:
    project = scene.project()
    assert scene.admin.get("/v1/me").expect(200)["selected_project_id"] is None
    chosen = {"project_id": project}
    assert scene.admin.send("PUT", "/v1/me/selected-project", chosen).expect(200) == chosen
    assert scene.admin.get("/v1/me").expect(200)["selected_project_id"] == project
    assert scene.admin.get("/v1/me/selected-project").expect(200) == chosen
    assert scene.admin.get("/v1/projects").expect(200)["selected"] == project
    assert scene.member.get("/v1/me/selected-project").expect(200) == {"project_id": None}
    scene.guest.send("PUT", "/v1/me/selected-project", chosen).refused(404, "projects.not_found")
    scene.admin.send("DELETE", f"/v1/projects/{project}").expect(204)
    assert scene.admin.get("/v1/me/selected-project").expect(200) == {"project_id": None}
    loner = register(scene.installation, "Lore", "Ledig")
    assert loner.get("/v1/me").expect(200)["selected_project_id"] is None


def test_a_right_is_given_by_the_address_of_one_user_of_the_other_company(scene: Scene) -> None:
    project = scene.project()
    rights = f"/v1/projects/{project}/rights"
    for email, code in (
        (f"{uuid.uuid4().hex}@example.com", "projects.user_without_company"),
        (scene.member.tokens["user"]["email"], "projects.own_company"),
    ):
        problem = scene.admin.post(rights, {"email": email}).refused(422, code)
        assert problem["detail"]
    double = found(scene.installation, "Dora", "Doppel", f"Doppel {uuid.uuid4().hex[:6]} One")
    double.post("/v1/companies", {"name": f"Doppel {uuid.uuid4().hex[:6]} Two"}).expect(201)
    email = double.tokens["user"]["email"]
    companies = scene.admin.post(rights, {"email": email}).refused(409, "projects.company_ambiguous")["companies"]
    assert len(companies) == 2
    body = {"email": email, "company_id": companies[1]["id"]}
    given = scene.member.post(rights, body).expect(201)
    assert (given["company_id"], given["company_name"]) == (companies[1]["id"], companies[1]["name"])
    scene.share(project)
    assert len(scene.admin.get(rights).expect(200)["items"]) == 2
    seen = scene.guest.get(f"/v1/projects/{project}").expect(200)
    assert (seen["foreign"], seen["powers"]) == (True, ["see", "add", "draw", "files"])
    assert project in _ids(scene.guest)
    scene.guest.get(rights).refused(403, "access.power_needed")
    own_company = scene.guest.tokens["company"]["id"]
    scene.admin.send("DELETE", f"{rights}/{own_company}").expect(204)
    scene.admin.send("DELETE", f"{rights}/{own_company}").refused(404, "projects.right_not_found")
    scene.guest.get(f"/v1/projects/{project}").refused(404, "projects.not_found")


def test_a_guest_works_in_a_foreign_project_for_its_owner(scene: Scene, tmp_path: Path) -> None:
    admin, guest = scene.admin, scene.guest
    rights = {"account_rights": ["REQUEST_CERTIFICATE"]}
    scene.staff.send("PATCH", f"/v1/staff/users/{guest.tokens['user']['id']}", rights).expect(200)
    project, own = scene.project(), scene.project(guest)
    secret = scene.project()
    scene.share(project)
    key, (mac,) = scene.order({"port8": 3}, 1)
    own_key, _ = scene.order({"port8": 10, "fax8": 1})
    secret_key, _ = scene.order({"port8": 1000})
    admin.post("/v1/activations", {"project_id": secret, "key": secret_key}).expect(201)
    guest.post("/v1/activations", {"project_id": own, "key": own_key}).expect(201)
    # The record is the owner's, and so is what the key held.
    device = devices.add(guest, project, [mac])[mac]
    guest.post("/v1/activations", {"project_id": project, "key": key, "comment": "from Gustav"}).expect(201)
    assert admin.get(f"/v1/devices/{device}").expect(200)["project_id"] == project
    assert _balance(admin, project=project) == {"port8": 3}
    guest.send("PATCH", f"/v1/devices/{device}", {"comment": "by a guest"}).expect(200)
    # A shortage is met from the guest's own projects, and only these are offered.
    assign, body = f"/v1/devices/{device}/licenses", {"licenses": [{"license_type": "port8", "quantity": 8}]}
    (short,) = guest.post(assign, body).refused(409, "licensing.insufficient_balance")["shortages"]
    assert (short["missing"], [held["id"] for held in short["projects"]]) == (5, [own])
    guest.post(assign, {**body, "sources": [secret]}).refused(404, "projects.not_found")
    guest.post(assign, {**body, "sources": [own]}).expect(201)
    assert (_balance(admin, project=project), _balance(guest, project=own)) == ({}, {"port8": 5, "fax8": 1})
    # A foreign project is seen when asked for, and is never part of all own ones.
    assert _balance(guest) == _balance(guest, project=own)
    assert guest.get("/v1/devices").expect(200)["items"] == []
    assert guest.get("/v1/activations").expect(200)["items"][0]["project"]["id"] == own
    (listed,) = guest.get("/v1/devices", project=project).expect(200)["items"]
    assert (listed["foreign"], listed["comment"]) == (True, "by a guest")
    (added,) = guest.get("/v1/activations", project=project).expect(200)["items"]
    assert (added["comment"], added["added_by"]["name"]) == ("from Gustav", "Gustav Gastmann")
    # Files, and a return of the device that the guest delivers: it is credited to this project.
    # It came by its id alone, so somebody has to speak for it first (DEV-15): here the vendor.
    path, vouched = f"/v1/staff/devices/{mac}", {"proven_company_id": admin.tokens["company"]["id"]}
    assert guest.get(f"/v1/devices/{device}").expect(200)["possession"] == "claimed"
    scene.staff.send("PATCH", path, vouched).expect(200)
    assert guest.get(f"/v1/devices/{device}").expect(200)["possession"] == "proven"
    made = devices.certify(guest, device, mac, tmp_path / "device")
    devices.install_file(guest, device, made)
    returned = devices.send_text(guest, "POST", "/v1/license-returns", made.make_return().decode(), devices.XML)
    assert project.encode() in returned
    assert _balance(admin, project=project) == {"port8": 8}
    # What only the owner may, and both histories: persons by name, never by address.
    move = {"device_ids": [device], "project_id": own}
    assert guest.post("/v1/device-moves", move).expect(200)["items"][0]["code"] == "devices.device_not_found"
    guest.send("DELETE", f"/v1/devices/{device}").refused(403, "access.power_needed")
    _check_histories(scene, project, device)
    admin.send("DELETE", f"/v1/devices/{device}").expect(204)


def _check_histories(scene: Scene, project: str, device: str) -> None:
    def told(person: Person) -> set[str]:
        items = person.get("/v1/history", project=project).expect(200)["items"]
        return {item["action"] for item in items}

    wanted = {"device_added", "device_changed", "activation_key_redeemed", "licenses_assigned", "licenses_returned"}
    for person, other in ((scene.admin, scene.guest), (scene.guest, scene.admin)):
        eventually(lambda person=person: wanted <= told(person), "the lines of the project", 10)  # type: ignore[misc]
        for query in ({"project": project}, {"context": "device", "id": device}):
            answer = person.get("/v1/history", **query)
            assert other.tokens["user"]["email"].encode() not in answer.content
            names = {item["actor"]["name"] for item in answer.expect(200)["items"] if item["actor"]}
            assert "Gustav Gastmann" in names
    added = scene.admin.get("/v1/history", project=project, action="device_added").expect(200)["items"]
    assert {item["company_id"] for item in added} == {scene.admin.tokens["company"]["id"]}


def test_an_archived_project_is_hidden_and_read_only_in_every_room(scene: Scene) -> None:
    admin, project, other = scene.admin, scene.project(), scene.project()
    path = f"/v1/projects/{project}"
    scene.share(project)
    key, (mac, spare) = scene.order({"port8": 3}, 2)
    open_key, _ = scene.order({"port8": 1})
    device = devices.add(admin, project, [mac])[mac]
    admin.post("/v1/activations", {"project_id": project, "key": key}).expect(201)
    before = _balance(admin)
    problem = admin.send("PATCH", path, {"archived": True}).refused(409, "projects.not_empty")
    assert problem["blockers"] == {"devices": 1}
    admin.post("/v1/device-moves", {"device_ids": [device], "project_id": other}).expect(200)
    assert admin.send("PATCH", path, {"archived": True, "name": f"Old {project}"}).expect(200)["state"] == "archived"
    for person in (admin, scene.guest):
        assert project not in _ids(person, limit=200)
        assert project in _ids(person, limit=200, archived="true")
        assert _balance(person, project=project) == {"port8": 3}
    eventually(lambda: _balance(admin).get("port8", 0) == before["port8"] - 3, "the sums without the archive", 5)
    correction = {"project_id": project, "license_type": "port8", "quantity": 1, "reason": "archived"}
    move = {"device_ids": [device], "project_id": project}
    for answer, code in (
        (admin.post("/v1/devices", {"project_id": project, "hardware_ids": [spare]}), "devices.project_closed"),
        (admin.post("/v1/device-moves", move), "devices.project_closed"),
        (admin.post("/v1/activations", {"project_id": project, "key": open_key}), "projects.archived"),
        (scene.guest.post("/v1/activations", {"project_id": project, "key": open_key}), "projects.archived"),
        (scene.staff.post("/v1/staff/balance-corrections", correction), "projects.archived"),
        (admin.send("PATCH", path, {"description": "new"}), "projects.archived"),
        (admin.post(f"{path}/rights", {"email": scene.guest_address}), "projects.archived"),
        (admin.send("DELETE", f"{path}/rights/{scene.guest.tokens['company']['id']}"), "projects.archived"),
    ):
        answer.refused(409, code)
    licenses = {"licenses": [{"license_type": "port8", "quantity": 1}], "sources": [project]}
    admin.post(f"/v1/devices/{device}/licenses", licenses).refused(409, "licensing.source_not_usable")
    admin.send("DELETE", path).refused(409, "projects.not_empty")
    assert admin.get(path).expect(200)["state"] == "archived"
    assert admin.send("PATCH", path, {"archived": False}).expect(200)["state"] == "open"
    body = {"project_id": project, "hardware_ids": [spare]}
    eventually(lambda: admin.post("/v1/devices", body).status == 200, "the project open again", 5)


def test_an_empty_project_is_deleted_once_and_for_all(scene: Scene) -> None:
    admin, project = scene.admin, scene.project()
    key = str(uuid.uuid4())
    scene.staff.send("DELETE", f"/v1/projects/{project}").refused(403, "access.power_needed")
    scene.guest.send("DELETE", f"/v1/projects/{project}").refused(404, "projects.not_found")
    for _ in range(2):
        scene.member.send("DELETE", f"/v1/projects/{project}", key=key).expect(204)
    scene.member.send("DELETE", f"/v1/projects/{project}").refused(404, "projects.not_found")
    admin.get(f"/v1/projects/{project}").refused(404, "projects.not_found")
    assert project not in _ids(admin, limit=200, archived="true")
    for path in ("/v1/balance", "/v1/devices", "/v1/activations"):
        admin.get(path, project=project).refused(404, "projects.not_found")

    def lines() -> list[dict[str, Any]]:
        items = admin.get("/v1/history", action="project_deleted").expect(200)["items"]
        return [item for item in items if item["project_id"] == project]

    assert [line["actor"]["name"] for line in eventually(lines, "its line in the history", 5)] == ["Mike Mitglied"]


def test_what_is_in_the_way_of_a_deletion_is_counted(scene: Scene) -> None:
    admin, project = scene.admin, scene.project()
    path = f"/v1/projects/{project}"
    key, (mac,) = scene.order({"port8": 3}, 1)
    admin.post("/v1/activations", {"project_id": project, "key": key}).expect(201)
    device = devices.add(admin, project, [mac])[mac]
    company = scene.share(project)
    problem = admin.send("DELETE", path).refused(409, "projects.not_empty")
    assert problem["blockers"] == {"devices": 1, "activation_keys": 1, "rights": 1, "balance": 3}
    scene.guest.send("DELETE", path).refused(403, "access.power_needed")
    # The refusal has closed nothing: work in the project goes on.
    admin.send("PATCH", path, {"description": "still open"}).expect(200)
    admin.send("DELETE", f"{path}/rights/{company}").expect(204)
    admin.send("DELETE", f"/v1/devices/{device}").expect(204)
    problem = admin.send("DELETE", path).refused(409, "projects.not_empty")
    assert problem["blockers"] == {"devices": 0, "activation_keys": 1, "rights": 0, "balance": 3}


def test_deleting_and_adding_at_once_leave_no_orphan(scene: Scene) -> None:
    _, macs = scene.order({}, RACES)
    seen: Counter[int] = Counter()
    for mac in macs:
        project = scene.project()
        people = [scene.installation.person() for _ in range(3)]
        for person in people:
            person.use(scene.admin.tokens)
        path, body = f"/v1/projects/{project}", {"project_id": project, "hardware_ids": [mac]}
        works = [
            partial(people[0].send, "DELETE", path),
            partial(people[1].send, "DELETE", path),
            partial(people[2].post, "/v1/devices", body),
        ]
        *deleted, added = in_parallel(len(works), lambda number, works=works: works[number]())  # type: ignore[misc]
        seen[added.status] += 1
        if added.status == 200:
            assert added.body["items"][0]["result"] == "added"
            assert {answer.status for answer in deleted} == {409}
            assert [item["id"] for item in scene.admin.get("/v1/devices", project=project).expect(200)["items"]]
        else:
            assert added.body["code"] in ("devices.project_closed", "projects.not_found"), added.body
            assert 204 in {answer.status for answer in deleted}
            scene.admin.get(f"/v1/projects/{project}").refused(404, "projects.not_found")
    assert sum(seen.values()) == RACES


def test_the_audit_is_clean_after_all_that(scene: Scene) -> None:
    assert "clean" in scene.installation.run("deploy.audit").stdout
