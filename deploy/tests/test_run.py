"""`make run` from outside: first start with and without a demo world, a start that was killed, a second start."""

from __future__ import annotations

import base64
import json
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from services.accounts import otp
from tests.integration.http_client import Person
from tests.integration.installation import ROOT, Installation


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a data folder that is not there yet."""
    return tmp_path / "data"


@pytest.fixture
def installation(folder: Path) -> Iterator[Installation]:
    """Give an installation that is not started yet, and end it in any case."""
    installation = Installation("embedded", folder)
    yield installation
    if installation.process is not None:
        assert installation.stop() == 0


def enroll(person: Person) -> None:
    """Switch a second factor on, as the refusal says, and refresh the session."""
    secret = person.post("/v1/me/otp").expect(201)["secret"]
    code = otp.code_at(base64.b32decode(secret), int(time.time()) // 30)
    person.post("/v1/me/otp/confirmations", {"otp": code}).expect(200)
    person.refresh()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_first_start_makes_the_demo_world_and_a_second_one_leaves_it(installation: Installation) -> None:
    demo = installation.start().demo
    assert sorted(demo) == ["activation_keys", "admin", "gateway", "legacy", "order_number", "portal", "staff"]
    assert demo["gateway"] == installation.base
    assert demo["portal"] == installation.portal
    assert demo["legacy"] is None
    assert len(demo["activation_keys"]) >= 2
    assert mode(installation.folder / "demo.json") == 0o600

    admin = installation.admin()
    assert admin.company is not None and admin.company["role"] == "admin"
    (project,) = admin.get("/v1/projects").expect(200)["items"]
    for key in demo["activation_keys"]:
        body = {"project_id": project["id"], "key": key}
        assert admin.post("/v1/activations", body, dry_run="true").expect(200)["licenses"]
    order = {"project_id": project["id"], "order_number": demo["order_number"]}
    added = admin.post("/v1/devices", order).expect(200)
    assert {item["result"] for item in added["items"]} == {"added"}
    me = [
        user
        for user in installation.staff().get("/v1/staff/users").expect(200)["items"]
        if user["email"] == demo["admin"]["email"]
    ]
    assert sorted(me[0]["account_rights"]) == ["MOVE_LICENSES", "REQUEST_CERTIFICATE"]
    assert requests.get(installation.portal, timeout=5).status_code == 200

    assert installation.stop() == 0
    again = installation.start().demo
    assert again["activation_keys"] == demo["activation_keys"]
    assert len(installation.admin().get("/v1/devices").expect(200)["items"]) == len(added["items"])
    assert installation.run("deploy.audit").stdout.splitlines()[-1].startswith("clean")


def test_a_start_without_a_demo_world_makes_a_staff_account_whose_password_is_only_in_a_file(
    installation: Installation,
) -> None:
    installation.environment["TESSERA_DEMO"] = "0"
    installation.start()
    path = installation.folder / "first-staff.json"
    assert mode(path) == 0o600
    account = json.loads(path.read_text())
    staff = installation.person().login(account["email"], account["password"])
    # No demo world: staff need a second factor, are led to it, and go on with it (decision 9).
    for method, route in (("GET", "/v1/staff/companies"), ("GET", "/v1/projects"), ("PATCH", "/v1/me")):
        refusal = staff.send(method, route, {} if method == "PATCH" else None).refused(403, "accounts.staff_otp_needed")
        assert "POST /v1/me/otp" in refusal["detail"]
    assert staff.get("/v1/me").expect(200)["otp_asked"] is True
    enroll(staff)
    assert staff.get("/v1/staff/companies").expect(200)["items"] == []
    assert not (installation.folder / "demo.json").exists()
    assert account["password"] not in installation.log_end()


def test_where_staff_need_a_second_factor_the_demo_world_is_made_with_one_and_leaves_none(
    installation: Installation,
) -> None:
    installation.environment["TESSERA_STAFF_OTP"] = "1"
    _start_and_kill(installation, 1.0)
    demo = installation.start(seconds=150).demo
    assert len(demo["activation_keys"]) == 3
    staff = installation.staff()
    staff.get("/v1/staff/orders").refused(403, "accounts.staff_otp_needed")
    enroll(staff)
    assert len(staff.get("/v1/staff/orders").expect(200)["items"]) == 3


def test_a_first_start_that_was_killed_is_finished_by_the_next_one(installation: Installation) -> None:
    for seconds in (0.5, 1.0, 1.5):
        _start_and_kill(installation, seconds)
    demo = installation.start().demo
    assert not (installation.folder / "demo.pending").exists()
    staff = installation.staff()
    assert len(staff.get("/v1/staff/orders").expect(200)["items"]) == len(demo["activation_keys"])
    assert len(staff.get("/v1/staff/companies").expect(200)["items"]) == 1
    installation.admin()


def test_create_staff_writes_the_password_to_a_private_file_and_prints_only_where(installation: Installation) -> None:
    installation.start()
    result = installation.run("deploy.admin", "create-staff", "ada@example.com")
    path = installation.folder / "staff" / "ada@example.com.password"
    assert str(path) in result.stdout
    password = path.read_text().strip()
    assert mode(path) == 0o600
    assert password not in result.stdout + result.stderr + installation.log_end()
    installation.person().login("ada@example.com", password).get("/v1/staff/users").expect(200)
    again = installation.run("deploy.admin", "create-staff", "ada@example.com")
    assert "keeps its password" in again.stdout
    assert path.read_text().strip() == password
    member = installation.run("deploy.admin", "create-staff", installation.demo["admin"]["email"], check=False)
    assert member.returncode == 1 and "staff belong to none" in member.stderr
    installation.admin().get("/v1/staff/users").refused(403, "accounts.staff_needed")
    refused = installation.run("deploy.admin", "create-staff", "nobody", check=False)
    assert refused.returncode == 1 and "expected an address" in refused.stderr


def test_a_role_refuses_to_run_alone_on_the_embedded_broker(tmp_path: Path) -> None:
    for arguments, text in ((["history"], "TESSERA_AMQP_URI"), (["kitchen"], "usage")):
        result = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "deploy.role", *arguments],
            cwd=ROOT, env={"TESSERA_DATA_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert result.returncode == 2
        assert text in result.stderr


def _start_and_kill(installation: Installation, seconds: float) -> None:
    """Start, let it work on the demo world for a while, and kill it."""
    starting = Installation(installation.kind, installation.folder, installation.environment)
    with pytest.raises(AssertionError, match="not ready after"):
        starting.start(seconds=0.1)
    assert starting.process is not None
    deadline = time.monotonic() + 60
    while not (installation.folder / "demo.pending").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(seconds * 2)
    starting.process.kill()
    starting.process.wait(10)
