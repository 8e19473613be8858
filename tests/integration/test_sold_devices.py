"""A device is sold with its licenses on it: what its former owner, and strangers, can still do with it (issue 6.1)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from clients.device import Device
from tests.integration.http_client import Person, eventually
from tests.integration.installation import Installation
from tests.integration.tenancy.devices import PEM, XML, add, certify, install_file, order, send_text
from tests.integration.tenancy.people import PASSWORD, found

FIRST_MAC = 0xE60100


class Sale:
    """A seller who keeps what he can, a buyer who paid for licenses, and the device itself."""

    def __init__(self, installation: Installation, folder: Path, mac: str) -> None:
        self.mac, self.installation = mac, installation
        self.staff = installation.staff()
        self.entered = order(self.staff, f"E6-{mac}", [mac], {"port8": 20})
        self.seller, self.buyer = (found(installation, "Sal", name, f"{name} {mac}") for name in ("Seller", "Buyer"))
        user = self.seller.tokens["user"]["id"]
        body = {"account_rights": ["REQUEST_CERTIFICATE"]}
        self.staff.send("PATCH", f"/v1/staff/users/{user}", body).expect(200)
        self.seller.refresh()
        self.sold = self.add(self.seller)
        self.device = certify(self.seller, self.sold, mac, folder / "device")
        shutil.copytree(self.device.state.folder, folder / "kept")
        self.kept = Device(folder / "kept")
        self.seller.send("DELETE", f"/v1/devices/{self.sold}").expect(204)
        self.bought = self.add(self.buyer)
        key = self.entered["activation_key"]
        self.buyer.post("/v1/activations", {"project_id": project_of(self.buyer), "key": key}).expect(201)
        licenses = {"licenses": [{"license_type": "port8", "quantity": 20}]}
        self.buyer.post(f"/v1/devices/{self.bought}/licenses", licenses).expect(201)

    def add(self, person: Person, *, by_mac: bool = False, accept: bool = False) -> str:
        """Let a company add the device, by its order's number or by what is printed on the box."""
        if by_mac:
            return add(person, project_of(person), [self.mac], accept=accept)[self.mac]
        body = {"project_id": project_of(person), "order_number": f"E6-{self.mac}"}
        (item,) = person.post("/v1/devices", body).expect(200)["items"]
        return str(item["device_id"])

    def history(self, person: Person, action: str) -> list[dict[str, Any]]:
        """Return the lines of one action in a company's history."""
        items: list[dict[str, Any]] = person.get("/v1/history", action=action).expect(200)["items"]
        return items

    def door(self, person: Person) -> requests.Response:
        """Let the device ask for its file with somebody's login."""
        login = (person.tokens["user"]["email"], PASSWORD)
        address = f"{self.installation.base}/device/v1/{self.mac}/license-file"
        return requests.get(address, auth=login, timeout=30)


def project_of(person: Person) -> str:
    """Return the company's one project."""
    return str(person.get("/v1/projects").expect(200)["items"][0]["id"])


@pytest.fixture
def sell(installation: Installation, tmp_path: Path) -> Callable[[int], Sale]:
    """Return what sells a device of its own."""

    def make(number: int) -> Sale:
        text = f"{FIRST_MAC + number + (0x80 if installation.kind == 'fleet' else 0):06X}"
        return Sale(installation, tmp_path, f"00-90-33-{text[:2]}-{text[2:4]}-{text[4:]}")

    return make


def test_the_buyer_accepts_the_key_and_the_seller_s_copy_returns_nothing(sell: Callable[[int], Sale]) -> None:
    """Issue 6.1: a former owner kept the key and returned the buyer's 20 licenses to himself."""
    sale = sell(1)
    buyer, path = sale.buyer, f"/v1/devices/{sale.bought}/license-files"
    refusal = buyer.post(path, {"encrypted": True}).refused(409, "licensing.certificate_not_accepted")
    assert refusal["fingerprint"] == sale.device.fingerprint()
    at_door = sale.door(buyer)
    assert (at_door.status_code, at_door.headers["X-Error-Code"]) == (409, "licensing.certificate_not_accepted")
    assert sale.device.fingerprint() in at_door.text
    wrong = {"encrypted": True, "accept_certificate": "ab" * 32}
    buyer.post(path, wrong).refused(409, "licensing.certificate_not_accepted")
    buyer.post(path, {**wrong, "accept_certificate": "ab"}).refused(422, "request.invalid")
    accept = {"encrypted": True, "accept_certificate": sale.device.fingerprint()}
    sale.device.install(buyer.post(path, accept).content)
    (listed,) = buyer.get(f"/v1/devices/{sale.bought}/certificates").expect(200)["items"]
    assert (listed["fingerprint"], listed["acceptance"]) == (sale.device.fingerprint(), "accepted")
    assert sale.door(buyer).status_code == 200

    # The new owner lets the device make a key of its own; what was kept is then worth nothing.
    sale.device.keygen(sale.mac, renew=True)
    answer = send_text(buyer, "POST", f"/v1/devices/{sale.bought}/certificates", sale.device.certificate_request(), PEM)
    sale.device.install_certificate(answer)
    install_file(buyer, sale.bought, sale.device)
    sale.kept.trust(buyer.get("/v1/keys").content)
    sale.kept.state.write("installed.signed", sale.device.state.read("installed.signed") or b"")
    sale.kept.state.save_record(sale.device.state.record())
    stolen = sale.kept.make_return().decode()
    sale.add(sale.seller, by_mac=True, accept=True)
    for person in (sale.seller, buyer):
        refused = returned(person, stolen)
        assert refused.status_code == 409
        assert refused.json()["code"] == "licensing.return_certificate_superseded"
    eventually(lambda: sale.history(buyer, "device_added_elsewhere"), "who has it is told of the addition")
    assert not sale.history(buyer, "paid_device_used_elsewhere")
    good = returned(buyer, sale.device.make_return().decode())
    assert (good.status_code, good.json()["returned"][0]["quantity"]) == (201, 20)


def test_who_paid_reads_what_a_stranger_does(sell: Callable[[int], Sale]) -> None:
    """Issue 6.1: the payer never heard of it."""
    sale = sell(2)
    buyer, seller = sale.buyer, sale.seller
    buyer.send("DELETE", f"/v1/devices/{sale.bought}").expect(204)
    eventually(lambda: sale.history(buyer, "device_deleted"), "the buyer's record is gone")
    again = sale.add(seller, by_mac=True)
    seller.post(f"/v1/devices/{again}/license-files", {"encrypted": True}).expect(201)

    def told() -> bool:
        return len(sale.history(buyer, "paid_device_used_elsewhere")) == 2

    eventually(told, "the payer reads that it was added and filed")
    lines = sale.history(buyer, "paid_device_used_elsewhere")
    assert sorted(line["data"]["what"] for line in lines) == ["added", "filed"]
    for line in lines:
        assert (line["actor"], line["request_id"], line["device_id"], line["project_id"]) == (None, None, None, None)
        assert line["hardware_id"] == sale.mac
        assert line["data"]["licenses"] == [{"license_type": "port8", "name": "PORT8", "quantity": 20}]
    assert not sale.history(seller, "paid_device_used_elsewhere")


def test_a_caught_return_is_worth_nothing_to_a_stranger(sell: Callable[[int], Sale]) -> None:
    """Issue 6.1: whoever gets hold of the XML, or of the device with his own login."""
    sale = sell(3)
    accept = {"encrypted": True, "accept_certificate": sale.device.fingerprint()}
    sale.device.install(sale.buyer.post(f"/v1/devices/{sale.bought}/license-files", accept).content)
    xml = sale.device.make_return().decode()
    stranger = found(sale.installation, "Str", "Anger", f"Stranger {sale.mac}")
    sale.add(stranger, by_mac=True, accept=True)
    assert returned(stranger, xml).json()["code"] == "licensing.return_other_company"
    login = (stranger.tokens["user"]["email"], PASSWORD)
    address = f"{sale.installation.base}/device/v1/{sale.mac}/license-return"
    answer = requests.put(address, data=xml.encode(), headers={"Content-Type": XML}, auth=login, timeout=30)
    assert (answer.status_code, answer.headers["X-Error-Code"]) == (409, "licensing.return_other_company")
    assert returned(sale.buyer, xml).status_code == 201


def test_what_a_buyer_left_on_a_box_is_not_returned_by_who_only_knows_its_number(
    sell: Callable[[int], Sale],
) -> None:
    """Issue 6.1: the payer has no record any more; the former owner has the present key, and a second company."""
    sale = sell(4)
    seller, buyer = sale.seller, sale.buyer
    buyer.send("DELETE", f"/v1/devices/{sale.bought}").expect(204)
    second = found(sale.installation, "Sec", "Ond", f"Second {sale.mac}")
    sale.kept.trust(seller.get("/v1/keys").content)
    for thief in (seller, second):
        again = sale.add(thief, by_mac=True, accept=True)
        accept = {"encrypted": True, "accept_certificate": sale.kept.fingerprint()}
        sale.kept.install(thief.post(f"/v1/devices/{again}/license-files", accept).content)
        refused = returned(thief, sale.kept.make_return().decode())
        assert (refused.status_code, refused.json()["code"]) == (409, "licensing.not_returnable")
        assert [(one["quantity"], one["reason"]) for one in refused.json()["kept"]] == [(20, "possession_needed")]
        plain = {"encrypted": False, "confirm_no_return": True}
        thief.post(f"/v1/devices/{again}/license-files", plain).refused(409, "devices.possession_needed")

    # The buyer's are his own by any record.
    back = sale.add(buyer, by_mac=True, accept=True)
    accept = {"encrypted": True, "accept_certificate": sale.kept.fingerprint()}
    sale.kept.install(buyer.post(f"/v1/devices/{back}/license-files", accept).content)
    assert returned(buyer, sale.kept.make_return().decode()).json()["returned"][0]["quantity"] == 20


def test_who_bought_a_box_with_its_licenses_returns_them_once_its_seller_has_left(
    sell: Callable[[int], Sale],
) -> None:
    """The licenses are the device's (DEV-5): a sale goes through, by the proof that the buyer brings (DEV-15)."""
    sale = sell(5)
    owner = found(sale.installation, "Next", "Owner", f"Owner {sale.mac}")
    sale.buyer.send("DELETE", f"/v1/devices/{sale.bought}").expect(204)
    record = sale.add(owner)
    accept = {"encrypted": True, "accept_certificate": sale.device.fingerprint()}
    sale.device.trust(owner.get("/v1/keys").content)
    sale.device.install(owner.post(f"/v1/devices/{record}/license-files", accept).content)
    xml = sale.device.make_return().decode()
    # Licensing hears a moment later that the buyer has left, and says 503 and "repeat" until then.
    lines = eventually(lambda: returned(owner, xml).json().get("returned"), "the return goes through")
    assert lines[0]["quantity"] == 20


def returned(person: Person, xml: str) -> requests.Response:
    """Upload a return."""
    return person.session.post(
        f"{person.base}/v1/license-returns", data=xml.encode(), headers={"Content-Type": XML}, timeout=30
    )
