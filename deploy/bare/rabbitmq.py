"""A private RabbitMQ node: own name, ports, data folder, cookie and epmd, from Debian's rabbitmq-server package."""

import base64
import http.client
import json
import secrets
import signal
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from deploy.bare.processes import LOOPBACK, NodeError, Process, debian_program, free_port, is_listening

# RabbitMQ's own habit: the management listener sits 10,000 above the AMQP one, so one address tells both.
MANAGEMENT_OFFSET = 10_000
_PROGRAMS = "/usr/lib/rabbitmq/bin"  # the package's /usr/sbin wrappers insist on its own user and folders
# The port over which nodes form clusters; whoever has the cookie commands the node.
_LOOPBACK_ALONE = "-kernel inet_dist_use_interface {127,0,0,1}"
_CONFIGURATION = """\
listeners.tcp.default = {host}:{port}
management.tcp.ip = {host}
management.tcp.port = {management}
management.rates_mode = none
default_user = tessera
default_pass = {password}
loopback_users.tessera = true
disk_free_limit.absolute = 200MB
vm_memory_high_watermark.absolute = 1GB
consumer_timeout = 120000
log.console = true
log.console.level = warning
log.file = false
"""


class Broker:
    """A running RabbitMQ reached by its address: virtual hosts are made and deleted here."""

    def __init__(self, uri: str) -> None:
        """Remember the address `amqp://user:password@host:port/`; management answers 10,000 ports above."""
        parts = urlsplit(uri)
        if not (parts.hostname and parts.port and parts.username and parts.password):
            raise NodeError(f"AMQP address needs user, password, host and port, like amqp://u:p@host:5672/: {uri!r}")
        self.host, self.port = parts.hostname, parts.port
        self.user, self.password = unquote(parts.username), unquote(parts.password)

    def uri(self, vhost: str = "/", *, port: int | None = None) -> str:
        """Return the AMQP address of a virtual host, or of a proxy in front of it on another port."""
        return f"amqp://{self.user}:{self.password}@{self.host}:{port or self.port}/{quote(vhost, safe='')}"

    def create_vhost(self, name: str) -> str:
        """Make a virtual host with all rights for the node's user and return its address."""
        self.manage("PUT", f"/api/vhosts/{quote(name, safe='')}")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self.manage("PUT", f"/api/permissions/{quote(name, safe='')}/{quote(self.user)}", everything)
        return self.uri(name)

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with all that is in it; its connections are closed by the node."""
        self.manage("DELETE", f"/api/vhosts/{quote(name, safe='')}")

    def manage(self, method: str, path: str, body: object = None) -> Any:
        """Call the management API and return its JSON answer, None for an empty one.

        Raises:
            NodeError: the node refused; the text has its status and answer.
            OSError: the node cannot be reached.
        """
        connection = http.client.HTTPConnection(self.host, self.port + MANAGEMENT_OFFSET, timeout=10)
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status >= 400:
            raise NodeError(f"RabbitMQ refused {method} {path}: {response.status} {content[:300]!r}")
        return json.loads(content) if content else None


class RabbitMQ(Broker):
    """A node that this process owns: start, stop, kill, pause; the data folder survives a stop."""

    def __init__(self, folder: Path, *, port: int | None = None, throw_away: bool = False) -> None:
        """Choose ports and write the configuration; nothing is started yet.

        Args:
            folder: the node's own folder, made if missing, outside a clone.
            port: AMQP port; a free one if None. Management is 10,000 above.
            throw_away: delete the folder if this process dies without closing the node.
        """
        self.folder = folder
        (folder / "home").mkdir(parents=True, exist_ok=True)
        password_file = folder / "password"
        if not password_file.exists():
            password_file.touch(mode=0o600)
            password_file.write_text(secrets.token_hex(16))
        port = port or free_port(offsets=[MANAGEMENT_OFFSET])
        super().__init__(f"amqp://tessera:{password_file.read_text()}@{LOOPBACK}:{port}/")
        self._throw_away = folder if throw_away else None
        self._epmd_port, self._distribution_port = free_port(), free_port()
        self._node: Process | None = None
        self._epmd: Process | None = None
        configuration = _CONFIGURATION.format(
            host=LOOPBACK, port=port, management=port + MANAGEMENT_OFFSET, password=self.password
        )
        (folder / "rabbitmq.conf").write_text(configuration)
        (folder / "enabled_plugins").write_text("[rabbitmq_management].\n")

    @property
    def is_running(self) -> bool:
        """Tell whether the node was started and has not ended."""
        return self._node is not None and self._node.is_running()

    @property
    def pid(self) -> int:
        """Process id of the Erlang machine.

        Raises:
            NodeError: the node was not started.
        """
        if self._node is None:
            raise NodeError("The RabbitMQ node is not started.")
        return self._node.pid

    def start(self, *, seconds: float = 60.0) -> "RabbitMQ":
        """Start the node (and its name server) and wait until both listeners answer."""
        server = debian_program("rabbitmq-server", _PROGRAMS)
        environment = self._environment()
        if self._epmd is None or not self._epmd.is_running():
            epmd = debian_program("epmd")
            # In the foreground, so that it is ours to stop; Erlang would leave a daemon behind.
            command = [str(epmd), "-address", LOOPBACK, "-port", str(self._epmd_port)]
            self._epmd = Process(command, log=self.folder / "epmd.log", env=environment)
            self._epmd.wait_for(lambda: is_listening(self._epmd_port), seconds=10)
        self._node = Process(
            [str(server), "-noinput"],
            log=self.folder / "rabbitmq.log",
            env=environment,
            remove_folder=self._throw_away,
        )
        self._node.wait_for(self._answers, seconds=seconds)
        return self

    def stop(self) -> None:
        """Stop the node in order (SIGTERM); what is durable is there after the next start."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the node at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze the node (SIGSTOP): connections stay open and nothing answers."""
        if self._node is not None:
            self._node.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen node go on (SIGCONT)."""
        if self._node is not None:
            self._node.send(signal.SIGCONT)

    def close(self) -> None:
        """Stop the node and its name server; a throw-away node is killed, which saves seconds."""
        self._end(signal.SIGKILL if self._throw_away else signal.SIGTERM)
        if self._epmd is not None:
            self._epmd.end(signal.SIGTERM, seconds=5)
            self._epmd = None

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl against this node (about two seconds a call) and return what it prints.

        Raises:
            NodeError: it failed; the text has its output.
        """
        program = debian_program("rabbitmqctl", _PROGRAMS)
        done = subprocess.run(
            [str(program), "--quiet", *arguments],
            env=self._environment(),
            cwd="/",
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise NodeError(f"rabbitmqctl {' '.join(arguments)} failed: {done.stdout}")
        return done.stdout

    def _end(self, number: signal.Signals) -> None:
        if self._node is not None:
            self._node.end(number, seconds=30)
            self._node = None

    def _answers(self) -> bool:
        try:
            self.manage("GET", "/api/whoami")
        except (OSError, NodeError, http.client.HTTPException):
            return False
        return is_listening(self.port)

    def _environment(self) -> dict[str, str]:
        folder = str(self.folder)
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "LANG": "C.UTF-8",
            "HOME": f"{folder}/home",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_ALLOW_INPUT": "1",  # makes the script become the node, so that its pid is the node's
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_NODENAME": f"tessera-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/none.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{folder}/config",
            "RABBITMQ_FEATURE_FLAGS_FILE": f"{folder}/feature_flags",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{_LOOPBACK_ALONE} +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
        }
