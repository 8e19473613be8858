"""The world of the tenant matrix: an owner with everything that a route can name, a guest, a stranger, a neighbor.

The owner's things stand in `things` by name; a name that ends in 2 is in the owner's second project, which nobody else
may see. What only one company knows is in `canaries`, in groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.integration.http_client import Person, eventually
from tests.integration.installation import Installation
from tests.integration.tenancy import devices
from tests.integration.tenancy.people import PASSWORD, found, join, register

RIGHTS: Final = ["MOVE_LICENSES", "REQUEST_CERTIFICATE"]
SPARE_MACS: Final = 300
# Amounts of license types that no case of the matrix touches, and that nothing else shows by chance.
AMOUNTS: Final = {"owner": 487_631, "owner2": 611_953, "guest": 355_687, "stranger": 742_159}
UNTOUCHED: Final = "fax8"
_OWNER_DEVICES: Final = ("device", "certified", "returned", "slave", "shared", "moved", "device2")


@dataclass
class World:
    """Four companies on one installation.

    Args:
        installation: where they are.
        folder: for the devices' own files.
        mark: how the numbers of their orders begin.
        first_mac: last three bytes of the first of their devices' addresses.
    """

    installation: Installation
    folder: Path
    mark: str
    first_mac: int
    staff: Person
    owner: Person
    member: Person
    locked: Person
    guest: Person
    stranger: Person
    neighbor: Person
    loner: Person
    things: dict[str, str] = field(default_factory=dict)
    own: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    canaries: dict[str, dict[str, str]] = field(default_factory=dict)
    spare: list[str] = field(default_factory=list)

    @classmethod
    def make(cls, installation: Installation, folder: Path, mark: str, first_mac: int) -> World:
        """Register everybody and seed everything."""
        names = {
            "owner": ("Olympia", "Owlsworth", "Owlsworth Telefonbau"),
            "member": ("Melisande", "Mossgrove", None),
            "locked": ("Leopoldine", "Lockhaven", None),
            "guest": ("Gwendolyn", "Guestwick", "Guestwick Wartung"),
            "stranger": ("Stanislaus", "Strangways", "Strangways Systems"),
            "neighbor": ("Nepomuk", "Nebendahl", "Nebendahl Netze"),
            "loner": ("Leander", "Lonergan", None),
        }

        def make(name: str) -> Person:
            forename, surname, company = names[name]
            if company is None:
                return register(installation, forename, surname)
            return found(installation, forename, surname, company)

        with ThreadPoolExecutor(len(names)) as pool:
            owner, member, locked, guest, stranger, neighbor, loner = pool.map(make, names)
        world = cls(
            installation,
            folder,
            mark,
            first_mac,
            installation.staff(),
            owner,
            member,
            locked,
            guest,
            stranger,
            neighbor,
            loner,
        )
        for name, (forename, surname, company) in names.items():
            of = {"member": "owner", "locked": "owner"}.get(name, name)
            named = world.canaries.setdefault(f"{of}'s names", {})
            named |= {f"forename of {name}": forename, f"surname of {name}": surname}
            named |= {"company": company} if company else {}
            world.canaries.setdefault(f"{of}'s own", {})[f"address of {name}"] = world.email(name)
        world.seed()
        return world

    def seed(self) -> None:
        """Give every company what it needs; the order matters only where one thing is made of another."""
        for person in (self.member, self.locked):
            join(self.owner, person)
        for person in (self.owner, self.guest, self.stranger):
            user_id = person.tokens["user"]["id"]
            self.staff.send("PATCH", f"/v1/staff/users/{user_id}", {"account_rights": RIGHTS}).expect(200)
            person.refresh()
        macs = devices.macs(self.first_mac)
        self.spare = [next(macs) for _ in range(SPARE_MACS)]
        devices.order(self.staff, f"{self.mark}-SPARE", self.spare, {})
        self._seed_owner([next(macs) for _ in _OWNER_DEVICES])
        self._seed_others({name: [next(macs)] for name in ("guest", "stranger")})
        # The guest pays a license on the owner's device: each of them learns of it, not where the other's money is.
        body = {"licenses": [{"license_type": "reporting8", "quantity": 1}], "sources": [self.own["guest"]["project"]]}
        answer = self.guest.post(f"/v1/devices/{self.things['moved']}/licenses", body).expect(201)
        self.things["line of the guest"] = answer["licenses"][0]["id"]
        self._seed_tokens()
        self._share()
        self._import()
        self._lock()
        self._wait_for_history()

    def _seed_owner(self, hardware_ids: list[str]) -> None:
        owner, things = self.owner, self.things
        by_name = dict(zip(_OWNER_DEVICES, hardware_ids, strict=True))
        stock = {"pbx7-100": 9, "registrations7": 500, "port8": 4000, UNTOUCHED: AMOUNTS["owner"]}
        first = devices.order(self.staff, f"{self.mark}-OWNER-1", hardware_ids[:-1], stock)
        stock = {"port8": 400, "mobility8": 50, UNTOUCHED: AMOUNTS["owner2"]}
        second = devices.order(self.staff, f"{self.mark}-OWNER-2", hardware_ids[-1:], stock)
        things["open_key"] = devices.order(self.staff, f"{self.mark}-OPEN", [], {"port8": 1})["activation_key"]
        (project,) = owner.get("/v1/projects").expect(200)["items"]
        body = {"name": "Nordlicht Leitstelle", "description": "canary of the first project"}
        owner.send("PATCH", f"/v1/projects/{project['id']}", body).expect(200)
        things["project"] = project["id"]
        body = {"name": "Geheimbau Suedhang", "description": "canary of the second project"}
        things["project2"] = owner.post("/v1/projects", body).expect(201)["id"]
        for name, key in (("project", first), ("project2", second)):
            body = {"project_id": things[name], "key": key["activation_key"], "comment": f"comment on {name}'s key"}
            things[f"key of {name}"] = owner.post("/v1/activations", body).expect(201)["id"]
        added = devices.add(owner, things["project"], hardware_ids[:-1])
        added |= devices.add(owner, things["project2"], hardware_ids[-1:])
        for name, hardware_id in by_name.items():
            things[name], things[f"{name} hardware"] = added[hardware_id], hardware_id
            number = 2 if hardware_id == hardware_ids[-1] else 1
            devices.prove(owner, things[name], f"{self.mark}-OWNER-{number}")
            body = {"comment": f"remark on {name} of the owner", "license_comment": f"license remark on {name}"}
            owner.send("PATCH", f"/v1/devices/{things[name]}", body).expect(200)
        things |= {
            "order": f"{self.mark}-OWNER-1",
            "order2": f"{self.mark}-OWNER-2",
            "company": owner.tokens["company"]["id"],
            "user": self.member.tokens["user"]["id"],
            "admin": owner.tokens["user"]["id"],
            "guest's company": self.guest.tokens["company"]["id"],
            "guest's address": self.email("guest"),
            "neighbor's company": self.neighbor.tokens["company"]["id"],
            "spare hardware": self.spare.pop(),
            "request": devices.certificate_request(),
        }
        self._license_owner()
        owner.post(f"/v1/projects/{things['project']}/rights", {"email": self.email("guest")}).expect(201)
        self.canaries["owner's own"] |= {
            "invited": "invited-by-owner", "order": f"{self.mark}-OWNER", "token": "name of the owner's token",
        }  # fmt: skip
        self.canaries["owner's project"] = {
            "project": "Nordlicht", "text": "canary of the first", "comment": "of the owner",
            "license comment": "license remark on", "key's comment": "comment on project",
            "amount": str(AMOUNTS["owner"]), "project's id": things["project"], "device's id": things["device"],
            "shared device's id": things["shared"], "file": things["serial of certified"],
            "file of the shared device": things["serial of shared"],
        }  # fmt: skip
        self.canaries["owner's second project"] = {
            "project": "Geheimbau", "text": "canary of the second", "comment": "remark on device2",
            "amount": str(AMOUNTS["owner2"]), "amount of both": str(AMOUNTS["owner"] + AMOUNTS["owner2"]),
            "key's comment": "comment on project2", "order": f"{self.mark}-OWNER-2",
            "device": things["device2 hardware"], "project's id": things["project2"],
            "device's id": things["device2"], "key's id": things["key of project2"],
        }  # fmt: skip

    def _license_owner(self) -> None:
        owner, things = self.owner, self.things
        v7 = [{"license_type": "pbx7-100", "quantity": 1}, {"license_type": "registrations7", "quantity": 7}]
        answer = owner.post(f"/v1/devices/{things['device']}/licenses", {"licenses": v7}).expect(201)
        things["filed line"] = answer["licenses"][0]["id"]
        owner.post(f"/v1/devices/{things['device']}/license-files", {"encrypted": False}).expect(201)
        self._assign("device", "port8", 3)
        # Paid by the second project, so that a line of the first one tells of it.
        self._assign("moved", "mobility8", 2, sources=[things["project2"]])
        for name in ("certified", "returned", "shared"):
            self._assign(name, "port8", 4)
            device = devices.certify(owner, things[name], things[f"{name} hardware"], self.folder / name)
            things[f"serial of {name}"] = devices.install_file(owner, things[name], device)
            if name == "returned":
                things["return"] = device.make_return().decode()
                path = "/v1/license-returns"
                things["receipt"] = devices.send_text(owner, "POST", path, things["return"], devices.XML).decode()
        listed = owner.get(f"/v1/devices/{things['certified']}/certificates").expect(200)["items"]
        things["certificate"] = listed[0]["serial"]
        body = {"device_ids": [things["moved"]], "project_id": things["project2"]}
        for project in ("project2", "project"):
            moved = owner.post("/v1/device-moves", {**body, "project_id": things[project]}).expect(200)
            assert moved["items"][0]["result"] == "moved", moved

    def _assign(self, device: str, license_type: str, quantity: int, sources: list[str] | None = None) -> None:
        body = {"licenses": [{"license_type": license_type, "quantity": quantity}], "sources": sources or []}
        answer = self.owner.post(f"/v1/devices/{self.things[device]}/licenses", body).expect(201)
        self.things[f"line of {device}"] = answer["licenses"][0]["id"]

    def _seed_others(self, hardware_ids: Mapping[str, list[str]]) -> None:
        for name, macs in hardware_ids.items():
            person, own = self.person(name), self.own.setdefault(name, {})
            stock = {"port8": 100, "reporting8": 9, UNTOUCHED: AMOUNTS[name]}
            entered = devices.order(self.staff, f"{self.mark}-{name.upper()}", macs, stock)
            (own["project"],) = (
                item["id"] for item in person.get("/v1/projects").expect(200)["items"] if not item["foreign"]
            )
            person.send("PATCH", f"/v1/projects/{own['project']}", {"name": f"Own project of {name}"}).expect(200)
            key = {"project_id": own["project"], "key": entered["activation_key"], "comment": f"own key of {name}"}
            person.post("/v1/activations", key).expect(201)
            own["hardware"] = macs[0]
            own["device"] = devices.add(person, own["project"], macs)[macs[0]]
            body = {"comment": f"remark of {name}"}
            person.send("PATCH", f"/v1/devices/{own['device']}", body).expect(200)
            self.canaries[f"{name}'s own"] |= {
                "project": f"Own project of {name}", "comment": f"remark of {name}", "device": macs[0],
                "amount": str(AMOUNTS[name]), "order": f"{self.mark}-{name.upper()}", "project's id": own["project"],
                "device's id": own["device"], "key's comment": f"own key of {name}",
            }  # fmt: skip

    def _seed_tokens(self) -> None:
        def make(person: Person, scopes: list[str], project: str | None = None) -> tuple[str, str]:
            body = {"name": "name of the owner's token", "scopes": scopes, "project_id": project}
            made = person.post("/v1/me/tokens", body).expect(201)
            return made["token"], made["id"]

        bound = ["read", "write", "device"]
        for scope in ("read", "write", "device"):
            self.tokens[scope], self.things["token"] = make(self.owner, [scope])
        self.tokens["events"], _ = make(self.staff, ["events"])
        self.tokens["project"], _ = make(self.owner, bound, self.things["project"])
        self.tokens["project2"], self.things["token2"] = make(self.owner, bound, self.things["project2"])
        for scope in ("orders", "events", "search"):
            body = {"name": f"program for {scope}", "scopes": [scope]}
            self.things["service"] = self.staff.post("/v1/staff/service-accounts", body).expect(201)["id"]
            made = self.staff.post(f"/v1/staff/service-accounts/{self.things['service']}/tokens", {}).expect(201)
            self.tokens[f"service {scope}"], self.things["service token"] = made["token"], made["id"]
        (session,) = (s for s in self.owner.get("/v1/sessions").expect(200)["items"] if s["current"])
        self.things["session"] = session["id"]
        body = {"email": "invited-by-owner@tenants.example"}
        self.things["invitation"] = self.owner.post("/v1/company/users", body).expect(201)["id"]

    def _share(self) -> None:
        """Let the stranger hold one device too (DEV-5): its licenses are the device's, all else stays the owner's."""
        hardware_id, own = self.things["shared hardware"], self.own["stranger"]
        own["shared"] = devices.add(self.stranger, own["project"], [hardware_id], accept=True)[hardware_id]

    def _import(self) -> None:
        """Let the owner have imported a small company, so that there is a job."""
        small = found(self.installation, "Klara", "Kleinert", "Kleinert Klingeln")
        body = {"email": small.tokens["user"]["email"], "password": PASSWORD}
        self.things["job"] = self.owner.post("/v1/company/imports", body).expect(202)["id"]
        path = f"/v1/jobs/{self.things['job']}"
        eventually(lambda: self.owner.get(path).expect(200)["state"] == "done", "the end of the import", 20)
        self.canaries["owner's own"]["job"] = self.things["job"]

    def _lock(self) -> None:
        path = f"/v1/company/users/{self.locked.tokens['user']['id']}"
        self.owner.send("PATCH", path, {"locked": True}).expect(200)
        eventually(lambda: self.locked.get("/v1/company").status == 401, "the locked user's end", 5)

    def _wait_for_history(self) -> None:
        for person, wanted in ((self.owner, "device_added_elsewhere"), (self.guest, "project_right_granted")):
            eventually(
                lambda person=person, wanted=wanted: person.get("/v1/history", action=wanted).expect(200)["items"],  # type: ignore[misc]
                f"{wanted} in the history",
                20,
            )

    def person(self, name: str) -> Person:
        """Return somebody by name."""
        person: Person = getattr(self, name)
        return person

    def email(self, name: str) -> str:
        """Return somebody's e-mail address."""
        address: str = self.person(name).tokens["user"]["email"]
        return address

    def login(self, name: str) -> Person:
        """Return somebody in a new session."""
        return self.installation.person().login(self.email(name), PASSWORD)

    def fresh_device(self, project: str = "project") -> tuple[str, str]:
        """Return id and hardware id of a new device in a project of the owner."""
        hardware_id = self.spare.pop()
        device = devices.add(self.owner, self.things[project], [hardware_id])[hardware_id]
        devices.prove(self.owner, device, f"{self.mark}-SPARE")
        return device, hardware_id

    def fresh_line(self, device: str) -> str:
        """Return the id of a new license line on a device of the owner."""
        self._assign(device, "port8", 1)
        return self.things[f"line of {device}"]

    def fresh_key(self) -> str:
        """Return an activation key that nobody has used."""
        self._orders = getattr(self, "_orders", 0) + 1
        key: Any = devices.order(self.staff, f"{self.mark}-KEY-{self._orders}", [], {"port8": 1})["activation_key"]
        return str(key)
