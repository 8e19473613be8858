"""docker-compose.yml gives each service its own private keys and the public ones it needs, no more (decision 14).

No container runs here: the file is read as compose reads it, and the processes are run with the folders it mounts.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pytest
import requests
import yaml

from deploy.rooms import GATEWAY, ROOMS, service_class
from services.chassis.keys import tokens
from services.chassis.settings import Settings
from tests.integration.http_client import eventually
from tests.integration.import_world import found
from tests.integration.installation import ROOT, Installation, free_port

OWNERS = (*ROOMS, GATEWAY)
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


class Mount(NamedTuple):
    """One volume of a container."""

    volume: str
    at: PurePosixPath
    mode: str


def mounts(service: str) -> list[Mount]:
    found = []
    for text in SERVICES[service].get("volumes", []):
        volume, at, *mode = text.split(":")
        # A folder of the host would be seen by whoever mounts one above it.
        assert volume in COMPOSE["volumes"], f"{service}: {volume} is no volume of this file"
        found.append(Mount(volume, PurePosixPath(at), *mode or ["rw"]))
    return found


def settings(service: str) -> Settings:
    """Return what the processes of a container read from its environment."""
    return Settings.from_environment({name: str(value) for name, value in SERVICES[service]["environment"].items()})


def holding(service: str, path: Path) -> Mount:
    """Return the volume on which a path of a container lies."""
    inside = [mount for mount in mounts(service) if path.is_relative_to(mount.at)]
    assert inside, f"{service}: {path} is on no volume, so it is gone with the container"
    return max(inside, key=lambda mount: len(mount.at.parts))


def role(service: str) -> str | None:
    command = SERVICES[service].get("command", [])
    return command[3] if command[:3] == ["python", "-m", "deploy.role"] else None


def signers(owner: str) -> set[str]:
    """Return whose names a service checks by their pinned keys, as its class declares it."""
    found: set[str] = set()
    for name in dir(service_class(owner)):
        value = getattr(service_class(owner), name)
        found.update(getattr(value, "readers", ()))
        for entrypoint in getattr(value, "nameko_entrypoints", ()):
            found.update(getattr(entrypoint, "callers", ()), getattr(entrypoint, "vouched_by", ()))
    return found


def test_every_role_has_a_container_of_its_own() -> None:
    assert {service: role(service) for service in SERVICES if role(service)} == {owner: owner for owner in OWNERS}


@pytest.mark.parametrize("owner", OWNERS)
def test_no_container_but_the_owner_gets_a_private_key_folder(owner: str) -> None:
    """Issue 6.3: one volume with all keys in it stood in every container; whoever had one signed for all."""
    held = settings(owner)
    for path in (held.key_dir / owner, held.key_passphrase_file):
        mount = holding(owner, path)
        others = [service for service in SERVICES if mount.volume in {other.volume for other in mounts(service)}]
        assert (others, mount.mode) == ([owner], "rw"), path
        # Nothing that is read by others lies in it or around it.
        assert not held.public_key_dir.is_relative_to(mount.at)
        assert not mount.at.is_relative_to(held.public_key_dir)


@pytest.mark.parametrize("owner", OWNERS)
def test_a_service_reads_the_public_keys_that_it_checks_and_only_their_owner_writes_them(owner: str) -> None:
    needed = (signers(owner) | {tokens.ISSUER}) - {owner}
    folder = settings(owner).public_key_dir
    given = {mount.at.name: mount for mount in mounts(owner) if mount.at.is_relative_to(folder)}
    assert {name for name, mount in given.items() if mount.mode == "ro"} == needed
    assert [name for name, mount in given.items() if mount.mode != "ro"] == [owner]
    for name, mount in given.items():
        assert mount.at == PurePosixPath(folder / name)
        assert mount.volume == holding(name, settings(name).public_key_dir / name).volume


def test_who_owns_no_keys_mounts_none_and_only_the_migration_gets_the_login_that_owns_tables() -> None:
    for service, content in SERVICES.items():
        if role(service) is None:
            assert service in {"rabbitmq", "postgresql"} or mounts(service) == [], service
        if service != "migrate":
            assert "TESSERA_MIGRATION_URI" not in content.get("environment", {}), service
    assert not {"TESSERA_AMQP_URI", "TESSERA_DATABASE_URI"} & set(SERVICES["portal"]["environment"])


def test_the_image_has_every_folder_that_is_mounted_owned_by_the_user_who_writes_it() -> None:
    """An empty volume takes its owner from the image; without the folder there it is root's."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    (made,) = re.findall(r"cd (\S+) && install -d -o tessera -g tessera -m 0700 (.*)", text)
    folders = {str(PurePosixPath(made[0]) / name) for name in made[1].split()}
    mounted = {str(mount.at) for owner in OWNERS for mount in mounts(owner)}
    assert mounted <= folders


@contextmanager
def containers(folder: Path, broker: str) -> Iterator[tuple[str, Path]]:
    """Run each role with the folders of its container; gives the gateway's address and where the volumes are."""
    volumes, http = folder / "volumes", f"127.0.0.1:{free_port()}"
    own = {
        "TESSERA_AMQP_URI": broker,
        "TESSERA_DATABASE_URI": f"sqlite:///{folder}/{{service}}.sqlite3",
        "TESSERA_MIGRATION_URI": f"sqlite:///{folder}/{{service}}.sqlite3",
        "TESSERA_HTTP": http,
        "TESSERA_PUBLIC_URL": "http://127.0.0.1:1",
    }

    def environment(service: str) -> dict[str, str]:
        root = folder / service
        given = {name: str(value) for name, value in SERVICES[service]["environment"].items()}
        inside = {name: f"{root}{value}" for name, value in given.items() if value.startswith("/")}
        for mount in sorted(mounts(service), key=lambda mount: len(mount.at.parts)):
            (volumes / mount.volume).mkdir(parents=True, exist_ok=True, mode=0o700)
            link = root / str(mount.at).lstrip("/")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(volumes / mount.volume)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TESSERA_")}
        admin = {"TESSERA_ADMIN_HTTP": f"127.0.0.1:{free_port()}"}
        return {**kept, "PYTHONWARNINGS": "ignore", **given, **inside, **own, **admin}

    subprocess.run([sys.executable, "-m", "deploy.migrate"], cwd=ROOT, env=environment("migrate"), check=True)
    with ExitStack() as stack:
        for owner in OWNERS:
            log = stack.enter_context((folder / f"{owner}.log").open("wb"))
            command = [sys.executable, "-m", "deploy.role", owner]
            process = subprocess.Popen(command, cwd=ROOT, env=environment(owner), stdout=log, stderr=log)
            stack.callback(process.wait, 40)
            stack.callback(process.terminate)
        yield f"http://{http}", volumes


def test_with_these_folders_the_fleet_works_and_no_private_key_is_where_others_read(vhost: str, tmp_path: Path) -> None:
    with containers(tmp_path, vhost) as (base, volumes):

        def logs() -> str:
            return "\n".join((tmp_path / f"{owner}.log").read_text(errors="replace") for owner in OWNERS)

        def is_ready() -> bool:
            try:
                return requests.get(f"{base}/readyz", timeout=2).status_code == 200
            except requests.RequestException:
                return False

        try:
            eventually(is_ready, "readiness", 60)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{logs()[-6000:]}") from None
        # Its mails lie on the volume of accounts alone, and its history comes from every room's events.
        admin = found(Installation("fleet", volumes / "accounts-data", base=base), "ada", "Folders")
        (project,) = admin.get("/v1/projects").expect(200)["items"]
        assert admin.get("/v1/devices").expect(200)["items"] == []
        assert admin.get("/v1/balance", project=project["id"]).expect(200)["items"] == []
        eventually(lambda: admin.get("/v1/history").expect(200)["items"], "history of the company")
        assert "caller_refused" not in logs()
    private = {
        path.relative_to(volumes).parts[0]
        for path in volumes.rglob("*")
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes()
    }
    assert private == {f"{owner}-keys" for owner in OWNERS}
