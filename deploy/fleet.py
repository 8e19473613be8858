"""`make fleet`: one process per service, two of licensing, on a private RabbitMQ and a private PostgreSQL.

The same code as `make run` with other addresses: this process starts the nodes, migrates, declares queues, keeps every
process running and makes the demo world. In the data folder it writes `environment.json` (how commands reach the
nodes, 0600) and `processes.json` (process ids by name). Set TESSERA_AMQP_URI and TESSERA_DATABASE_URI to use servers
of your own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping

# Sockets must be green before anything else is imported that may open one (rule D1).
from services.chassis.keys.keyfiles import write_private

from services.chassis.bus import green  # noqa: F401  # isort: skip

import eventlet
from eventlet.greenthread import GreenThread
from eventlet.support.greenlets import GreenletExit

from deploy import demo
from deploy.alone import check_ports, hold, keep_private
from deploy.bare.processes import NodeError
from deploy.factor import STAFF_OTP, with_staff_otp
from deploy.installed import ENVIRONMENT_FILE
from deploy.nodes import Nodes
from deploy.rooms import GATEWAY, ROOMS, service_class
from deploy.run import finish, prepare, tell_addresses
from deploy.supervisor import Process, Supervisor
from services.chassis import logs
from services.chassis.service.admin import FOLDER
from services.chassis.service.topology import declare_topology
from services.chassis.settings import Settings, SettingsError

COPIES = {"licensing": 2}
ROLE = "deploy.role"
"""What is run for each service; the fault runs put another one in its place."""
PROCESSES_FILE = "processes.json"
_NODE_SETTINGS = ("TESSERA_AMQP_URI", "TESSERA_DATABASE_URI")


class Fleet:
    """The processes of one installation and, unless servers are given, its nodes.

    Args:
        environment: settings as given by whoever starts the fleet.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._given = {name: value for name, value in environment.items() if name.startswith("TESSERA_")}
        own = Settings.from_environment(self._given)
        self._data_dir = own.data_dir
        own.check_mail_server()
        check_ports(own)
        self._is_first_start = demo.is_first_start(own)
        # Decided here and told to every process: a single role does not know whether the demo world runs.
        own = with_staff_otp(own, self._given, first_start=self._is_first_start)
        self._given[STAFF_OTP] = "1" if own.staff_otp else "0"
        os.umask(0o077)
        self._lock = hold(own)
        keep_private(own)
        self.nodes = None if all(name in self._given for name in _NODE_SETTINGS) else Nodes(own.data_dir)
        self._stopping = False
        self.supervisor: Supervisor | None = None

    def run(self) -> int:
        """Start everything, wait for SIGTERM or SIGINT, stop everything; returns the exit code."""
        if self.nodes is not None:
            self.nodes.start()
            write_private(self._data_dir / ENVIRONMENT_FILE, json.dumps(self.nodes.environment()).encode())
        shutil.rmtree(self._data_dir / FOLDER, ignore_errors=True)
        settings = Settings.from_environment({**self._given, **(self.nodes.environment() if self.nodes else {})})
        prepare(settings, first_start=self._is_first_start)
        declare_topology(settings, [service_class(role) for role in (*ROOMS, GATEWAY)])
        supervisor = Supervisor(self._processes(), settings.amqp_uri, on_change=lambda _: self._write_pids())
        self.supervisor = supervisor
        signal.signal(signal.SIGTERM, supervisor.ask_to_stop)
        signal.signal(signal.SIGINT, supervisor.ask_to_stop)
        if self.nodes is not None:
            eventlet.spawn_n(self.nodes.keep_running, lambda: self._stopping, self._write_pids)
        supervisor.start()
        watcher = eventlet.spawn(supervisor.run)
        return self._serve(settings, supervisor, watcher)

    def close(self) -> None:
        """Stop the nodes; the processes are stopped by their supervisor."""
        self._stopping = True
        if self.nodes is not None:
            self.nodes.close()
            (self._data_dir / ENVIRONMENT_FILE).unlink(missing_ok=True)
        (self._data_dir / PROCESSES_FILE).unlink(missing_ok=True)
        self._lock.close()

    def _serve(self, settings: Settings, supervisor: Supervisor, watcher: GreenThread) -> int:
        starter = eventlet.spawn(finish, settings)
        # Whoever stops the fleet while it starts does not wait for a demo world.
        watcher.link(lambda _: starter.kill())
        code = 0
        try:
            starter.wait()
            tell_addresses(settings)
        except (demo.DemoError, TimeoutError) as error:
            sys.stderr.write(f"The fleet could not start: {error}\n")
            supervisor.ask_to_stop()
            code = 1
        except GreenletExit:
            pass
        watcher.wait()
        return code

    def _processes(self) -> list[Process]:
        environment = dict(self.nodes.environment()) if self.nodes is not None else {}
        environment[STAFF_OTP] = self._given[STAFF_OTP]
        if self.nodes is not None:
            # Services have no business with the login that owns the tables.
            environment["TESSERA_MIGRATION_URI"] = environment["TESSERA_DATABASE_URI"]
        processes = []
        for role in (*ROOMS, GATEWAY):
            copies = COPIES.get(role, 1)
            for number in range(1, copies + 1):
                name = f"{role}-{number}" if copies > 1 else role
                command = [sys.executable, "-m", ROLE, role]
                # The address that was given is the gateway's; the others tell theirs in the data folder.
                own = {**environment, "TESSERA_ADMIN_HTTP": "127.0.0.1:0"} if role in ROOMS else environment
                processes.append(Process(name, command, own, service=role if role in ROOMS else None))
        processes.append(Process("portal", [sys.executable, "-m", "portal"]))
        return processes

    def _write_pids(self) -> None:
        pids = {
            **(self.supervisor.pids if self.supervisor is not None else {}),
            **(self.nodes.pids() if self.nodes is not None else {}),
            "fleet": os.getpid(),
        }
        write_private(self._data_dir / PROCESSES_FILE, f"{json.dumps(pids, indent=2)}\n".encode())


def main() -> int:
    """Run the fleet."""
    try:
        fleet = Fleet(os.environ)
        logs.configure("fleet", Settings.from_environment().log_level)
        try:
            return fleet.run()
        finally:
            fleet.close()
    except (SettingsError, NodeError) as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
