"""The page of metrics, the declarations, and what running processes export are the same list."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from deploy import audit as deploy_audit
from deploy.migrate import migrate
from deploy.reference.metrics import declared, exported_by
from deploy.reference.pages import REFERENCE
from deploy.rooms import GATEWAY, ROOMS, service_class
from services.chassis.metrics import EVERY_PROCESS, PROCESS_FIGURES
from services.chassis.service.admin import FOLDER
from services.chassis.service.topology import declare_topology
from services.chassis.settings import Settings
from services.history import last_audit
from tests.integration.http_client import eventually
from tests.integration.installation import Installation, free_port

ROOT = Path(__file__).parents[2]
_TYPE = re.compile(r"^# TYPE (\S+) ", re.MULTILINE)
_ROW = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-|@|[A-Za-z0-9]{5}-[A-Za-z0-9]{5}-")


def values(text: str, name: str) -> list[float]:
    return [float(line.rpartition(" ")[2]) for line in text.splitlines() if re.match(rf"{name}[{{ ]", line)]


def test_the_page_lists_every_figure_that_is_declared() -> None:
    text = (REFERENCE / "metrics.md").read_text("utf-8")
    assert sorted(_ROW.findall(text)) == sorted(declared())
    assert all(f"`{name}`" in text for name in PROCESS_FIGURES)


def test_every_figure_belongs_to_a_process_that_there_is() -> None:
    assert {figure.of for figure in declared().values()} <= {EVERY_PROCESS, GATEWAY, *ROOMS}


def test_an_embedded_installation_exports_all_of_them_on_one_page(tmp_path: Path) -> None:
    admin = f"127.0.0.1:{free_port()}"
    installation = Installation("embedded", tmp_path / "data", {"TESSERA_ADMIN_HTTP": admin})
    installation.start()
    try:
        assert requests.get(f"http://{admin}/metrics", timeout=10).status_code == 200
        installation.run("deploy.audit")

        def audited() -> bool:
            return "tessera_audit_flaws 0.0" in requests.get(f"http://{admin}/metrics", timeout=10).text

        eventually(audited, "the audit's result on the page", 20)
        text = requests.get(f"http://{admin}/metrics", timeout=10).text
    finally:
        installation.stop()
    assert set(_TYPE.findall(text)) == set(declared()) | set(PROCESS_FIGURES)
    assert set(re.findall(r'tessera_outbox_events{room="(\w+)"}', text)) == set(ROOMS)
    assert {("licensing", "project_deletion"), ("licensing", "order"), ("accounts", "company_import")} == set(
        re.findall(r'tessera_sagas_open{room="(\w+)",saga="(\w+)"}', text)
    )
    assert set(re.findall(r'tessera_mails{room="accounts",state="(\w+)"}', text)) == {"queued", "parked"}
    assert sum(values(text, "tessera_rpc_seconds_count")) > 50
    assert sum(values(text, "tessera_events_applied_total")) > 10
    assert sum(values(text, "tessera_key_uses_total")) > 0
    assert values(text, "tessera_audit_checks")[0] > 100
    assert [line for line in text.splitlines() if _ID.search(line)] == []


@pytest.mark.parametrize("role", ["accounts", "licensing"])
def test_a_process_of_a_fleet_exports_its_own_on_a_port_that_it_tells(role: str, vhost: str, tmp_path: Path) -> None:
    given = {
        "TESSERA_DATA_DIR": str(tmp_path / "data"),
        "TESSERA_AMQP_URI": vhost,
        "TESSERA_DATABASE_URI": f"sqlite:///{tmp_path}/{{service}}.sqlite3",
        "TESSERA_INSTANCE": f"{role}-7",
    }
    settings = Settings.from_environment(given)
    migrate(settings)
    declare_topology(settings, [service_class(name) for name in (*ROOMS, GATEWAY)])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TESSERA_")}
    command = [sys.executable, "-W", "ignore", "-m", "deploy.role", role]
    file = tmp_path / "data" / FOLDER / f"{role}-7.json"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env={**kept, **given}, stdout=log, stderr=log)
    try:
        eventually(file.exists, "the file that tells the port", 60)
        (told,) = json.loads(file.read_text())
        (address,) = told["targets"]
        assert told["labels"] == {"role": role, "process": f"{role}-7"}
        eventually(lambda: requests.get(f"http://{address}/readyz", timeout=5).status_code == 200, "readiness", 60)
        assert requests.get(f"http://{address}/healthz", timeout=5).json() == {"status": "alive"}
        text = requests.get(f"http://{address}/metrics", timeout=5).text
    finally:
        process.terminate()
        process.wait(40)
    assert set(_TYPE.findall(text)) == exported_by(role)
    assert set(re.findall(r'tessera_outbox_events{room="(\w+)"}', text)) == {role}
    assert f'"port": {address.rpartition(":")[2]}' in (tmp_path / "log").read_text()
    assert not file.exists()


def test_an_audit_leaves_what_it_found_and_one_that_fails_leaves_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.from_environment({"TESSERA_DATA_DIR": str(tmp_path)})
    assert list(last_audit.samples(settings)) == []
    migrate(settings)
    monkeypatch.setattr(deploy_audit, "installed_settings", lambda: settings)
    assert deploy_audit.main() == 0
    told = {figure.name: number for figure, _, number in last_audit.samples(settings)}
    assert told["tessera_audit_flaws"] == 0
    assert told["tessera_audit_checks"] > 100
    assert 0 <= told["tessera_audit_age_seconds"] < 60
    kept = (tmp_path / last_audit.FILE).read_bytes()
    (tmp_path / "history.sqlite3").unlink()
    assert deploy_audit.main() == 2
    assert (tmp_path / last_audit.FILE).read_bytes() == kept
