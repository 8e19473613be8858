"""The main job over HTTP, as issue 2 tells it: an activation key becomes a license that a device verifies.

The tests of this module are steps of one story and run in order; each installation tells it once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.integration.http_client import Person, eventually, mailed_token
from tests.integration.installation import ROOT, Installation

IP6000, IP800, IP302, IP110 = "00-90-33-08-20-20", "00-90-33-08-20-21", "00-90-33-08-20-22", "00-90-33-24-20-20"
PASSWORD = "correct horse battery staple"
ORDER = {
    "number": "4711",
    "customer_name": "Example Ltd",
    "customer_reference": "PO 77",
    "devices": [
        {"hardware_id": IP6000, "type": "IP6000", "shipped_on": "2026-11-02"},
        {"hardware_id": IP800, "type": "IP800", "shipped_on": "2026-11-02"},
        {"hardware_id": IP302, "type": "IP302", "shipped_on": "2026-11-02"},
        {"hardware_id": IP110, "type": "IP110", "shipped_on": "2026-11-02"},
    ],
    "licenses": [
        {"license_type": "pbx7-100", "quantity": 1},
        {"license_type": "voicemail7-100", "quantity": 1},
        {"license_type": "registrations7", "quantity": 60},
        {"license_type": "port8", "quantity": 20},
    ],
}


@dataclass
class Story:
    """What the steps hand on to each other."""

    installation: Installation
    folder: Path
    staff: Person
    user: Person
    address: str = "ada.lovelace@example.com"
    key: str = ""
    project_id: str = ""
    devices: dict[str, str] = field(default_factory=dict)
    lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    encrypted: bytes = b""

    def balance(self) -> dict[str, int]:
        """Return the balance of all own projects by license type."""
        items = self.user.get("/v1/balance").expect(200)["items"]
        return {item["license_type"]: item["quantity"] for item in items if item["quantity"]}

    def return_from_device(self, xml: bytes) -> requests.Response:
        """Deliver a return as the device does, with the portal account by HTTP Basic."""
        return requests.put(
            f"{self.installation.base}/device/v1/{IP800}/license-return",
            data=xml,
            headers={"Content-Type": "application/xml"},
            auth=(self.address, PASSWORD),
            timeout=30,
        )

    def device_client(
        self, *arguments: str, hardware_id: str = IP800, check: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run the device's command line in the device's own folder."""
        command = [sys.executable, "-m", "clients.device.cli", *arguments]
        environment = self.device_environment(hardware_id)
        result = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=60, env=environment, check=False
        )
        if check is not None:
            assert result.returncode == check, f"{arguments}: {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result

    def device_environment(self, hardware_id: str) -> dict[str, str]:
        """Return the environment of the device's command line: its password is not on the command line."""
        return {
            **os.environ,
            "PYTHONWARNINGS": "ignore",
            "TESSERA_DEVICE_STATE": str(self.folder / hardware_id),
            "TESSERA_DEVICE_PORTAL": self.installation.base,
            "TESSERA_DEVICE_LOGIN": self.address,
            "TESSERA_DEVICE_PASSWORD": PASSWORD,
        }


@pytest.fixture(scope="module")
def story(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The story of one installation."""
    folder = tmp_path_factory.mktemp(f"story-{installation.kind}")
    return Story(installation, folder, installation.staff(), installation.person())


def test_staff_enters_an_order_and_gets_an_activation_key(story: Story) -> None:
    order = story.staff.post("/v1/staff/orders", ORDER).expect(201)
    story.key = order["activation_key"]
    assert story.staff.post("/v1/staff/orders", ORDER).body["activation_key"] == story.key
    story.staff.post("/v1/staff/orders", {**ORDER, "customer_name": "Another Ltd"}).refused(
        409, "licensing.order_exists"
    )
    assert story.staff.get("/v1/staff/orders/4711").expect(200)["number"] == "4711"


def test_a_new_user_registers_opens_the_link_and_logs_in(story: Story) -> None:
    registration = {
        "email": story.address, "password": PASSWORD, "forename": "Ada", "surname": "Lovelace", "language": "en",
        "accept_terms": True,
    }  # fmt: skip
    assert story.user.post("/v1/registrations", registration).expect(202) == {}
    login = {"email": story.address, "password": PASSWORD}
    story.user.post("/v1/sessions", login).refused(403, "accounts.not_activated")
    token = mailed_token(story.installation.mail_folder, story.address, "activate")
    story.user.post("/v1/registrations/confirmations", {"token": token}).expect(204)
    story.user.post("/v1/registrations/confirmations", {"token": token}).refused(404, "accounts.link_invalid")
    story.user.login(story.address, PASSWORD)
    assert story.user.company is None
    assert story.user.tokens["user"]["forename"] == "Ada"


def test_the_user_creates_a_company_with_the_default_project(story: Story) -> None:
    story.user.get("/v1/projects").refused(403, "accounts.company_needed")
    company = story.user.post("/v1/companies", {"name": "Analytical Engines Ltd"}).expect(201)
    story.user.refresh()
    assert story.user.company is not None
    assert story.user.company["id"] == company["id"]
    assert story.user.company["role"] == "admin"
    (project,) = story.user.get("/v1/projects").expect(200)["items"]
    assert project["name"] == "DEFAULT"
    assert project["foreign"] is False
    story.project_id = project["id"]


def test_the_key_is_rehearsed_and_redeemed(story: Story) -> None:
    activation = {"project_id": story.project_id, "key": story.key.lower().replace("-", " "), "comment": "first order"}
    contents = {line["license_type"]: line["quantity"] for line in ORDER["licenses"]}  # type: ignore[index]
    rehearsal = story.user.post("/v1/activations", activation, dry_run="true").expect(200)
    assert {line["license_type"]: line["quantity"] for line in rehearsal["licenses"]} == contents
    assert story.balance() == {}
    key = "first-activation"
    first = story.user.post("/v1/activations", activation, key=key)
    assert {line["name"] for line in first.expect(201)["licenses"]} == {
        "PBX7#100",
        "Voicemail7#100",
        "Registrations7",
        "PORT8",
    }
    again = story.user.post("/v1/activations", activation, key=key)
    assert again.expect(201) == first.body
    assert again.headers["Idempotent-Replayed"] == "true"
    assert story.balance() == contents
    story.user.post("/v1/activations", {**activation, "comment": "x"}, key=key).refused(422, "idempotency.key_reused")
    story.user.post("/v1/activations", activation).refused(409, "licensing.key_used")
    mistyped = story.key[:3] + ("A" if story.key[3] != "A" else "B") + story.key[4:]
    story.user.post("/v1/activations", {**activation, "key": mistyped}).refused(422, "licensing.key_mistyped")
    assert story.balance() == contents
    (added,) = story.user.get("/v1/activations").expect(200)["items"]
    assert added["comment"] == "first order"


def test_staff_gives_the_user_both_account_rights(story: Story) -> None:
    users = story.staff.get("/v1/staff/users", q=story.address).expect(200)["items"]
    (user,) = [user for user in users if user["email"] == story.address]
    body = {"account_rights": ["MOVE_LICENSES", "REQUEST_CERTIFICATE"]}
    changed = story.staff.send("PATCH", f"/v1/staff/users/{user['id']}", body).expect(200)
    assert sorted(changed["account_rights"]) == ["MOVE_LICENSES", "REQUEST_CERTIFICATE"]
    story.user.send("PATCH", f"/v1/staff/users/{user['id']}", {"staff": True}).refused(403, "accounts.staff_needed")


def _results(answer: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return [(item["input"], item["result"], item["code"]) for item in answer["items"]]


def test_devices_are_added_by_list_range_text_and_order_in_all_spellings(story: Story) -> None:
    project = {"project_id": story.project_id}
    lines = ["00:90:33:08:20:20", "082020", "not a mac", "00-90-33-99-99-99"]
    expected = [
        (lines[0], "ok", None),
        (lines[1], "error", "devices.repeated_in_request"),
        (lines[2], "error", "devices.malformed_id"),
        (lines[3], "error", "devices.not_found"),
    ]
    rehearsal = story.user.post("/v1/devices", {**project, "hardware_ids": lines}, dry_run="true").expect(200)
    assert _results(rehearsal) == expected
    assert story.user.get("/v1/devices").expect(200)["items"] == []
    added = story.user.post("/v1/devices", {**project, "hardware_ids": lines}).expect(200)
    assert [result for _, result, _ in _results(added)] == ["added", "refused", "refused", "refused"]
    in_range = {**project, "range": {"first": "009033082020", "last": "00-90-33-08-20-21"}}
    added = story.user.post("/v1/devices", in_range).expect(200)
    assert [(result, code) for _, result, code in _results(added)] == [
        ("refused", "devices.already_in_company"),
        ("added", None),
    ]
    text = {**project, "text": "00-90-33-08-20-22\n00-90-33-08-20-21 082022"}
    added = story.user.post("/v1/devices", text).expect(200)
    assert [(result, code) for _, result, code in _results(added)] == [
        ("added", None),
        ("refused", "devices.already_in_company"),
        ("refused", "devices.repeated_in_request"),
    ]
    added = story.user.post("/v1/devices", {**project, "order_number": "4711"}).expect(200)
    assert [result for _, result, _ in _results(added)].count("added") == 1
    too_many = {**project, "range": {"first": "00-90-33-08-20-00", "last": "00-90-33-08-22-00"}}
    problem = story.user.post("/v1/devices", too_many).refused(422, "devices.too_many")
    assert (problem["count"], problem["limit"]) == (513, 50)
    items = story.user.get("/v1/devices").expect(200)["items"]
    story.devices = {item["hardware_id"]: item["id"] for item in items}
    assert set(story.devices) == {IP6000, IP800, IP302, IP110}


def test_options_are_asked_and_the_rules_hold(story: Story) -> None:
    device = story.devices[IP6000]
    options = story.user.get(f"/v1/devices/{device}/license-options", version=7).expect(200)["items"]
    by_type = {option["license_type"]: option for option in options}
    assert by_type["registrations7"]["project_balance"] == 60
    assert by_type["pbx7-100"]["measure"] == "size"
    path = f"/v1/devices/{device}/licenses"

    def assign(*lines: tuple[str, int]) -> Any:
        return story.user.post(path, {"licenses": [{"license_type": t, "quantity": q} for t, q in lines]})

    problem = assign(("pbx7-100", 1), ("registrations7", 101)).refused(409, "licensing.rule_violated")
    assert problem["rule"]
    assert "100" in problem["detail"]
    problem = assign(("pbx7-100", 1), ("voicemail7-100", 1), ("registrations7", 70)).refused(
        409, "licensing.insufficient_balance"
    )
    assert [(s["license_type"], s["missing"], s["projects"]) for s in problem["shortages"]] == [
        ("registrations7", 10, [])
    ]
    before = story.balance()
    answer = assign(("pbx7-100", 1), ("voicemail7-100", 1), ("registrations7", 40)).expect(201)
    assert len(answer["licenses"]) == 3
    assert story.balance() == {"registrations7": 20, "port8": 20}
    for line in answer["licenses"]:
        story.user.send("DELETE", f"{path}/{line['id']}").expect(204)
    assert story.balance() == before
    assign(("pbx7-100", 1), ("voicemail7-100", 1), ("registrations7", 40)).expect(201)
    story.lines = {line["license_type"]: line for line in story.user.get(path).expect(200)["items"]}
    assert story.lines["registrations7"]["quantity"] == 40
    phone = f"/v1/devices/{story.devices[IP110]}/licenses"
    refused = story.user.post(phone, {"licenses": [{"license_type": "registrations7", "quantity": 1}]})
    refused.refused(409, "licensing.rule_violated")


def test_the_text_file_is_downloaded_and_ends_taking_back(story: Story) -> None:
    device = story.devices[IP6000]
    first = story.user.post(f"/v1/devices/{device}/license-files", {"encrypted": False})
    first.expect(201)
    assert first.headers["Content-Type"].startswith("text/plain")
    text = first.content.decode()
    assert "PBX7#100" in text
    assert IP6000 in text
    again = story.user.post(f"/v1/devices/{device}/license-files", {"encrypted": False})
    assert (again.status, again.content) == (200, first.content)
    line = story.lines["registrations7"]["id"]
    story.user.send("DELETE", f"/v1/devices/{device}/licenses/{line}").refused(409, "licensing.file_issued")
    path = first.headers["Location"]
    assert story.user.get(path).content == first.content


def test_the_second_device_gets_its_ports(story: Story) -> None:
    device = story.devices[IP800]
    body = {"licenses": [{"license_type": "port8", "quantity": 20}]}
    story.user.post(f"/v1/devices/{device}/licenses", body).expect(201)
    assert story.balance() == {"registrations7": 20}
    encrypted = story.user.post(f"/v1/devices/{device}/license-files", {"encrypted": True})
    encrypted.refused(409, "licensing.no_certificate")
    plain = story.user.post(f"/v1/devices/{device}/license-files", {"encrypted": False})
    plain.refused(409, "licensing.confirmation_needed")


def test_the_device_gets_its_certificate_and_verifies_its_file_offline(story: Story) -> None:
    story.device_client("keygen", IP800)
    story.device_client("request-certificate")
    certificates = story.user.get(f"/v1/devices/{story.devices[IP800]}/certificates").expect(200)["items"]
    assert len(certificates) == 1
    story.device_client("fetch")
    shown = story.device_client("show").stdout
    assert "PORT8" in shown
    assert "20" in shown
    state = story.user.get(f"/v1/devices/{story.devices[IP800]}/licenses").expect(200)
    assert state["file"]["state"] == "current"
    assert state["file"]["fetched_at"]
    answer = story.user.post(f"/v1/devices/{story.devices[IP800]}/license-files", {"encrypted": True})
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/xml")
    assert b"PORT8" not in answer.content
    story.encrypted = answer.content


def test_files_that_are_not_for_this_device_are_refused_each_with_its_own_message(story: Story) -> None:
    file = story.folder / "file.xml"
    file.write_bytes(story.encrypted)
    story.device_client("verify", str(file))
    story.device_client("keygen", IP302, hardware_id=IP302)
    story.device_client("request-certificate", hardware_id=IP302)
    other = story.device_client("verify", str(file), hardware_id=IP302, check=None)
    changed = bytearray(story.encrypted)
    # One letter of the base64 payload, well inside of it.
    middle = len(changed) // 2
    while not chr(changed[middle]).isalpha():
        middle += 1
    changed[middle] = ord("A") if changed[middle] != ord("A") else ord("B")
    file.write_bytes(bytes(changed))
    broken = story.device_client("verify", str(file), check=None)
    texts = {other.stderr, broken.stderr}
    assert 0 not in (other.returncode, broken.returncode)
    assert len(texts) == 2, texts


def test_the_return_credits_once_and_answers_the_same(story: Story) -> None:
    signed = story.folder / "return.xml"
    story.device_client("return", "--out", str(signed))
    first = story.return_from_device(signed.read_bytes())
    assert first.status_code == 201, first.text
    assert [(line["license_type"], line["quantity"]) for line in first.json()["returned"]] == [("port8", 20)]
    assert story.balance() == {"registrations7": 20, "port8": 20}
    again = story.return_from_device(signed.read_bytes())
    assert (again.status_code, again.json()) == (201, first.json())
    uploaded = story.user.session.post(
        f"{story.installation.base}/v1/license-returns",
        data=signed.read_bytes(),
        headers={"Content-Type": "application/xml"},
        timeout=30,
    )
    assert (uploaded.status_code, uploaded.json()) == (201, first.json())
    assert story.balance() == {"registrations7": 20, "port8": 20}
    old = story.folder / "old.xml"
    old.write_bytes(story.encrypted)
    refused = story.device_client("verify", str(old), check=None)
    assert refused.returncode != 0
    assert "counter" in refused.stderr.lower()


def test_history_tells_all_of_it_newest_first(story: Story) -> None:
    expected = {
        "company_created", "project_created", "activation_key_redeemed", "device_added", "licenses_assigned",
        "licenses_taken_back", "license_file_issued", "certificate_issued", "licenses_returned",
    }  # fmt: skip

    def actions(**query: str) -> list[str]:
        lines = story.user.get("/v1/history", limit=200, **query).expect(200)["items"]
        times = [line["at"] for line in lines]
        assert times == sorted(times, reverse=True)
        return [line["action"] for line in lines]

    eventually(lambda: expected <= set(actions(context="company")), "the company's history", 5)
    for period in ("day", "week", "month", "year", "all"):
        assert expected <= set(actions(context="company", period=period))
    assert {"activation_key_redeemed", "licenses_assigned"} <= set(actions(context="user"))
    of_device = actions(context="device", id=story.devices[IP800])
    assert {"device_added", "licenses_assigned", "certificate_issued", "licenses_returned"} <= set(of_device)
    assert "activation_key_redeemed" not in of_device
    (line,) = story.user.get("/v1/history", action="licenses_returned").expect(200)["items"]
    assert line["actor"]["name"] == "Ada Lovelace"


def test_the_audit_is_clean(story: Story) -> None:
    result = story.installation.run("deploy.audit")
    assert "clean" in result.stdout
