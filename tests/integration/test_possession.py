"""A box that was never sold, a stranger who reads its MAC, and the buyer who has its papers (issue 6.1, DEV-15)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import requests

from clients.device.possession import prove_possession
from tests.integration.http_client import Person, eventually
from tests.integration.installation import Installation
from tests.integration.tenancy.devices import PEM, add, certificate_request, certify, install_file, order, prove
from tests.integration.tenancy.people import PASSWORD, found
from tests.integration.test_sold_devices import project_of

FIRST_MAC = 0xE60180


def ask_certificate(installation: Installation, person: Person, mac: str, record: str) -> list[requests.Response]:
    """Ask at both doors for a certificate of a key that nobody has seen."""
    login = (person.tokens["user"]["email"], PASSWORD)
    door = f"{installation.base}/device/v1/{mac}/certificate-request"
    body, headers = certificate_request(), {"Content-Type": PEM}
    return [
        person.session.post(f"{person.base}/v1/devices/{record}/certificates", body, headers=headers, timeout=30),
        requests.post(door, body, headers=headers, auth=login, timeout=30),
    ]


def actions(person: Person, record: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in person.get(f"/v1/devices/{record}").expect(200)["actions"]}


def proven_lines(person: Person) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = person.get("/v1/history", action="device_possession_proven").expect(200)["items"]
    return lines


def test_a_stranger_gets_nothing_by_a_mac_and_the_buyers_papers_prove(
    installation: Installation, tmp_path: Path
) -> None:
    """Issue 6.1: a stranger certified an unsold box by its MAC alone; the buyer's files then went to his key."""
    text = f"{FIRST_MAC + (0x20 if installation.kind == 'fleet' else 0):06X}"
    mac = f"00-90-33-{text[:2]}-{text[2:4]}-{text[4:]}"
    staff, number = installation.staff(), f"E6P-{text}"
    entered = order(staff, number, [mac], {"port8": 20})
    stranger, buyer = (found(installation, "Pia", name, f"{name} {mac}") for name in ("Stranger", "Buyer"))
    for person in (stranger, buyer):
        rights = {"account_rights": ["REQUEST_CERTIFICATE"]}
        staff.send("PATCH", f"/v1/staff/users/{person.tokens['user']['id']}", rights).expect(200)
        person.refresh()
    claim = add(stranger, project_of(stranger), [mac])[mac]
    for answer in ask_certificate(installation, stranger, mac, claim):
        assert (answer.status_code, answer.headers.get("X-Error-Code", "devices.possession_needed")) == (
            409,
            "devices.possession_needed",
        )
    refused = ask_certificate(installation, stranger, mac, claim)[0].json()
    assert (refused["code"], refused["ways"]) == ("devices.possession_needed", ["order_number", "staff"])
    shown = actions(stranger, claim)
    assert shown["request_certificate"]["reason"] == "devices.possession_needed"
    assert shown["request_certificate"]["ways"] == ["order_number", "staff"]
    assert shown["download_unencrypted_licenses"]["allowed"] is True

    # The buyer adds it by its MAC first as well, pays, and is told the same; the papers change that.
    bought = add(buyer, project_of(buyer), [mac], accept=True)[mac]
    body = {"project_id": project_of(buyer), "key": entered["activation_key"]}
    buyer.post("/v1/activations", body).expect(201)
    licenses = {"licenses": [{"license_type": "port8", "quantity": 20}]}
    buyer.post(f"/v1/devices/{bought}/licenses", licenses).expect(201)
    plain = {"encrypted": False, "confirm_no_return": True}
    for person, record in ((stranger, claim), (buyer, bought)):
        path = f"/v1/devices/{record}/license-files"
        told = person.post(path, plain).refused(409, "devices.possession_needed")
        assert told["ways"] == ["order_number", "staff"]
        assert actions(person, record)["download_unencrypted_licenses"]["allowed"] is False
    path = f"/v1/devices/{bought}/possession"
    buyer.post(path, {"order_number": f"{number}-X"}).refused(404, "devices.order_not_found")
    buyer.post(path, {}).refused(422, "request.invalid")
    buyer.post(path, {"order_number": number, "proof": "AAAA"}).refused(422, "request.invalid")
    stranger.post(path, {"order_number": number}).refused(404, "devices.device_not_found")
    prove(buyer, bought, number)
    device = certify(buyer, bought, mac, tmp_path / "device")
    install_file(buyer, bought, device)
    assert all(action["reason"] != "devices.possession_needed" for action in actions(buyer, bought).values()
               if not action["allowed"])  # fmt: skip
    (line,) = eventually(lambda: proven_lines(buyer), "the line of the proof")
    assert line["data"]["by"] == "order_number"
    assert proven_lines(stranger) == []

    # Whoever has the device in hand proves it by its key: for the one record that the device was told of.
    stolen = prove_possession(device, bought)
    refused = stranger.post(f"/v1/devices/{claim}/possession", {"proof": stolen})
    refused.refused(409, "licensing.possession_proof_invalid")
    assert "device_key" in actions(stranger, claim)["download_unencrypted_licenses"]["ways"]
    proof = {"proof": prove_possession(device, claim)}
    answer = stranger.post(f"/v1/devices/{claim}/possession", proof).expect(200)
    assert answer == {"device_id": claim, "hardware_id": mac, "possession": "proven"}
