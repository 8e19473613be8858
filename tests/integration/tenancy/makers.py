"""Throw-away things for requests that succeed and could not be repeated, and things that do not exist."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Final

from tests.integration.tenancy import devices
from tests.integration.tenancy.canaries import ID
from tests.integration.tenancy.cases import Case
from tests.integration.tenancy.world import World

_MAC: Final = re.compile(r"[0-9A-F]{2}(-[0-9A-F]{2}){5}")
# Nobody builds it: the orders of the tests stay far below.
UNBUILT: Final = "00-90-33-FE-DC-BA"


def _session(world: World) -> dict[str, str]:
    sessions = world.login("owner").get("/v1/sessions").expect(200)["items"]
    return {"session": next(session["id"] for session in sessions if session["current"])}


def _token(world: World) -> dict[str, str]:
    body = {"name": "throw-away", "scopes": ["read"]}
    return {"token": world.owner.post("/v1/me/tokens", body).expect(201)["id"]}


def _service(world: World) -> dict[str, str]:
    body = {"name": "throw-away", "scopes": ["orders"]}
    account = world.staff.post("/v1/staff/service-accounts", body).expect(201)["id"]
    token = world.staff.post(f"/v1/staff/service-accounts/{account}/tokens", {}).expect(201)["id"]
    return {"service": account, "service token": token}


def _invitation(world: World) -> dict[str, str]:
    body = {"email": f"{uuid.uuid4()}@tenants.example"}
    return {"user": world.owner.post("/v1/company/users", body).expect(201)["id"]}


def _right(world: World) -> dict[str, str]:
    path = f"/v1/projects/{world.things['project']}/rights"
    right = world.owner.post(path, {"email": world.email("neighbor")}).expect(201)
    return {"neighbor's company": right["company_id"]}


def _floating_license(world: World) -> dict[str, str]:
    path = f"/v1/devices/{world.things['slave']}/floating-license"
    world.owner.send("PUT", path, {"version": 7}).expect(200)
    return {}


def _device(world: World) -> dict[str, str]:
    device, hardware = world.fresh_device()
    return {"device": device, "device hardware": hardware}


def _certificate(world: World) -> dict[str, str]:
    device, hardware = world.fresh_device()
    devices.certify(world.owner, device, hardware, world.folder / hardware)
    listed = world.owner.get(f"/v1/devices/{device}/certificates").expect(200)["items"]
    return {"certificate": listed[0]["serial"]}


FRESH: Final[dict[str, Callable[[World], dict[str, str]]]] = {
    "session": _session,
    "token": _token,
    "service": _service,
    "invitation": _invitation,
    "right": _right,
    "key": lambda world: {"open_key": world.fresh_key()},
    "hardware": lambda world: {"spare hardware": world.spare.pop()},
    "device": _device,
    "line": lambda world: {"filed line": world.fresh_line("device")},
    "floating license": _floating_license,
    "request": lambda world: {**_device(world), "request": devices.certificate_request()},
    "certificate": _certificate,
}
"""Name of a maker -> the things that it makes anew."""


def nothing_like(world: World, case: Case) -> dict[str, str]:
    """Return, in place of the thing that a case names, one of the same form that does not exist."""
    assert case.thing is not None
    value = world.things[case.thing]
    if ID.fullmatch(value):
        unlike = str(uuid.uuid4())
    elif _MAC.fullmatch(value):
        unlike = UNBUILT
    elif re.fullmatch("[0-9a-f]+", value):
        unlike = uuid.uuid4().hex + value[32:]
    else:
        unlike = "TENANTS-NOTHING"
    # The thing is inside of what the device signed.
    inside = {"return": devices.return_of_another(world.things["return"], unlike)} if case.text == "$return" else {}
    return {case.thing: unlike, **inside}
