"""The private RabbitMQ and PostgreSQL nodes of one installation: started with it, kept running, stopped with it.

Their data lies outside the data folder, since PostgreSQL refuses root and its own user could not reach a folder of
root's. `nodes.json` in the data folder says where; a node folder whose installation is gone is removed by the next
start.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from deploy.bare.postgresql import PostgreSQL
from deploy.bare.processes import NodeError, free_port, is_listening
from deploy.bare.rabbitmq import MANAGEMENT_OFFSET, RabbitMQ
from deploy.rooms import ROOMS

NODES_FILE = "nodes.json"
# Its own user must reach it, it must outlive a reboot, and the name in it cannot be guessed.
BASE = Path("/var/tmp")  # noqa: S108
_PREFIX = "tessera-nodes-"
_RESTART_PAUSE_SECONDS = 0.5
_log = structlog.get_logger(__name__)


class Nodes:
    """A broker and a database server for one installation.

    Args:
        data_dir: of the installation; names and ports are kept in it, so that a second start finds the same data.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        plan = self._plan()
        folder = Path(plan["folder"])
        folder.mkdir(exist_ok=True)
        # The node's own user has to pass through it, whatever the umask is; what is in it is private.
        folder.chmod(0o755)
        (folder / "owner").write_text(str(data_dir))
        self.rabbitmq = RabbitMQ(folder / "rabbitmq", port=plan["amqp"])
        self.postgresql = PostgreSQL(folder / "postgresql", port=plan["postgresql"])

    def start(self) -> None:
        """Start both and make a database with its two logins for each room."""
        _remove_orphans()
        self.postgresql.start()
        for room in ROOMS:
            self.postgresql.create_service(room)
        self.rabbitmq.start()

    def environment(self) -> dict[str, str]:
        """Return the settings that lead to the nodes; they hold passwords."""
        return {
            "TESSERA_AMQP_URI": self.rabbitmq.uri(),
            "TESSERA_DATABASE_URI": self.postgresql.service_uri(),
            "TESSERA_MIGRATION_URI": self.postgresql.migration_uri(),
        }

    def pids(self) -> dict[str, int]:
        """Return the process ids of the nodes that run."""
        nodes: dict[str, RabbitMQ | PostgreSQL] = {"rabbitmq": self.rabbitmq, "postgresql": self.postgresql}
        return {name: node.pid for name, node in nodes.items() if node.is_running}

    def keep_running(self, stopped: Callable[[], bool], on_change: Callable[[], None]) -> None:
        """Start a node again that has ended by itself, until `stopped` says so; run in a green thread."""
        while not stopped():
            for name, node in (("rabbitmq", self.rabbitmq), ("postgresql", self.postgresql)):
                if not node.is_running and not stopped():
                    _log.error("a node ended and is started again", name=name)
                    try:
                        node.stop()
                        node.start()
                    except (NodeError, OSError):
                        _log.exception("a node could not be started", name=name)
                    on_change()
            time.sleep(_RESTART_PAUSE_SECONDS)

    def close(self) -> None:
        """Stop both in order; their data stays."""
        self.rabbitmq.close()
        self.postgresql.close()

    def _plan(self) -> dict[str, Any]:
        path = self._data_dir / NODES_FILE
        if path.exists():
            plan: dict[str, Any] = json.loads(path.read_text())
            # RabbitMQ's name holds its port and its data is under its name: keep the ports while nobody else has them.
            if is_listening(plan["amqp"]) or is_listening(plan["amqp"] + MANAGEMENT_OFFSET):
                plan["amqp"] = free_port(offsets=[MANAGEMENT_OFFSET])
            if is_listening(plan["postgresql"]):
                plan["postgresql"] = free_port()
        else:
            folder = BASE / f"{_PREFIX}{os.geteuid()}-{secrets.token_hex(6)}"
            plan = {"folder": str(folder), "amqp": free_port(offsets=[MANAGEMENT_OFFSET]), "postgresql": free_port()}
        path.write_text(json.dumps(plan))
        return plan


def _remove_orphans() -> None:
    """Remove node folders of this user whose installation was deleted."""
    for folder in BASE.glob(f"{_PREFIX}{os.geteuid()}-*"):
        try:
            plan_file = Path((folder / "owner").read_text()) / NODES_FILE
            used = plan_file.exists() and json.loads(plan_file.read_text())["folder"] == str(folder)
        except (OSError, ValueError, KeyError):
            continue
        if not used and not any((folder / "postgresql" / "data").glob("postmaster.pid")):
            shutil.rmtree(folder, ignore_errors=True)
