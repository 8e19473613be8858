"""Projects over HTTP: made, shared, archived, and deleted only when nothing is in them (PRJ-1 to PRJ-4)."""

from __future__ import annotations

import uuid

import pytest

from tests.integration.http_client import Person, eventually
from tests.integration.installation import Installation
from tests.integration.test_people import People


@pytest.fixture(scope="module")
def admin(installation: Installation) -> Person:
    """The admin of a company of its own."""
    person, _ = People(installation).admin("paula", f"Paula {uuid.uuid4().hex[:6]} Ltd")
    return person


def _project(admin: Person) -> str:
    made = admin.post("/v1/projects", {"name": f"Project {uuid.uuid4().hex[:8]}"}).expect(201)
    return str(made["id"])


def test_names_are_unique_whatever_their_case_and_blanks(admin: Person) -> None:
    name = f"Berlin {uuid.uuid4().hex[:8]}"
    admin.post("/v1/projects", {"name": name}).expect(201)
    admin.post("/v1/projects", {"name": f"  {name.upper()} "}).refused(409, "projects.name_taken")


def test_an_empty_project_is_deleted_once_and_for_all(admin: Person) -> None:
    project = _project(admin)
    key = str(uuid.uuid4())
    admin.send("DELETE", f"/v1/projects/{project}", key=key).expect(204)
    admin.send("DELETE", f"/v1/projects/{project}", key=key).expect(204)
    admin.get(f"/v1/projects/{project}").refused(404, "projects.not_found")

    def listed() -> bool:
        return any(item["id"] == project for item in admin.get("/v1/projects").expect(200)["items"])

    assert not listed()


def test_what_is_in_the_way_of_a_deletion_is_counted(admin: Person, installation: Installation) -> None:
    staff, project = installation.staff(), _project(admin)
    number = f"prj-{uuid.uuid4().hex[:8]}"
    serial = f"{uuid.uuid4().int % 0xFFFF:04X}"
    mac = f"00-90-33-6{uuid.uuid4().hex[0].upper()}-{serial[:2]}-{serial[2:]}"
    order = staff.post(
        "/v1/staff/orders",
        {
            "number": number,
            "devices": [{"hardware_id": mac, "type": "IP800", "shipped_on": "2026-11-02"}],
            "licenses": [{"license_type": "port8", "quantity": 3}],
        },
    ).expect(201)
    admin.post("/v1/activations", {"project_id": project, "key": order["activation_key"]}).expect(201)
    admin.post("/v1/devices", {"project_id": project, "hardware_ids": [mac]}).expect(200)
    _, guest_address = People(installation).admin("quirin", f"Quirin {uuid.uuid4().hex[:6]} Ltd")
    admin.post(f"/v1/projects/{project}/rights", {"email": guest_address}).expect(201)
    problem = admin.send("DELETE", f"/v1/projects/{project}").refused(409, "projects.not_empty")
    assert problem["blockers"] == {"devices": 1, "activation_keys": 1, "rights": 1, "balance": 3}
    # The refusal has closed nothing: work in the project goes on.
    admin.send("PATCH", f"/v1/projects/{project}", {"description": "still open"}).expect(200)
    assert admin.get("/v1/balance", project=project).expect(200)["items"][0]["quantity"] == 3


def test_a_guest_sees_a_foreign_project_and_may_not_manage_it(admin: Person, installation: Installation) -> None:
    project = _project(admin)
    guest, address = People(installation).admin("rosa", f"Rosa {uuid.uuid4().hex[:6]} Ltd")
    guest.get(f"/v1/projects/{project}").refused(404, "projects.not_found")
    right = admin.post(f"/v1/projects/{project}/rights", {"email": address}).expect(201)
    seen = guest.get(f"/v1/projects/{project}").expect(200)
    assert seen["foreign"] is True
    assert "manage" not in seen["powers"]
    guest.send("PATCH", f"/v1/projects/{project}", {"name": "mine"}).refused(403, "projects.power_needed")
    guest.send("DELETE", f"/v1/projects/{project}").refused(403, "projects.power_needed")
    admin.send("DELETE", f"/v1/projects/{project}/rights/{right['company_id']}").expect(204)
    eventually(lambda: guest.get(f"/v1/projects/{project}").status == 404, "the end of the right", 2)
