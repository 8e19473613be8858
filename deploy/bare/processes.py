"""Start and stop server processes that must never outlive their owner, and find free ports for them."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

LOOPBACK = "127.0.0.1"

# Ends a node when its owner is gone: the pipe on its stdin closes with the owner, however the owner died.
_GUARD = 'read -r _ || true; kill -s "$1" "$2" 2>/dev/null; [ -z "$3" ] || { sleep 1; rm -rf -- "$3"; }'


class NodeError(RuntimeError):
    """A private node could not be started or did not answer in time; the text names its log file."""


def free_port(*, offsets: Sequence[int] = ()) -> int:
    """Return a loopback port that is free now, and whose neighbors at the given distances are free too.

    Args:
        offsets: distances to further ports that must be free (RabbitMQ's management listener sits 10,000 above).
    """
    for _ in range(200):
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if all(port + offset < 65536 and not is_listening(port + offset) for offset in offsets):
            return port
    raise NodeError("No free loopback ports found in 200 tries; close some listeners and try again.")


def is_listening(port: int) -> bool:
    """Tell whether something accepts connections on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def debian_program(name: str, *folders: str) -> Path:
    """Find a program of a Debian package, also outside PATH.

    Raises:
        NodeError: it is not installed; the text says which command installs it.
    """
    for folder in folders:
        if (candidate := Path(folder) / name).exists():
            return candidate
    if (found := shutil.which(name)) is not None:
        return Path(found)
    raise NodeError(f"{name} is not installed; run deploy/bare/install-debian-packages (as root or with sudo).")


def account_for(user: str) -> pwd.struct_passwd | None:
    """Return the account to drop to when running as root, None when there is nothing to drop."""
    return pwd.getpwnam(user) if os.geteuid() == 0 else None


class Process:
    """One server process with its log file and a guard that ends it if its owner is killed."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        account: pwd.struct_passwd | None = None,
        death_signal: str = "KILL",
        remove_folder: Path | None = None,
    ) -> None:
        """Start the command in a session of its own.

        Args:
            account: run as this account (needs root).
            death_signal: what the guard sends when the owner dies.
            remove_folder: what the guard deletes after that; for throw-away nodes.
        """
        identity: dict[str, object] = {}
        if account is not None:
            identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        with log.open("ab") as output:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(env),
                cwd="/",
                start_new_session=True,
                **identity,  # type: ignore[call-overload]
            )
        self.log = log
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", death_signal, str(self.pid), str(remove_folder or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return int(self._process.pid)

    def is_running(self) -> bool:
        """Tell whether the process has not ended yet."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self.is_running():
            self._process.send_signal(number)

    def end(self, number: signal.Signals, *, seconds: float = 20.0) -> None:
        """Send a signal and wait for the end; after that many seconds, kill."""
        self._guard.kill()
        self._guard.wait()
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        self.send(number)
        self.send(signal.SIGCONT)  # a paused process would not see it
        try:
            self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def wait_for(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Wait until the server answers.

        Raises:
            NodeError: it ended, or did not answer in that many seconds.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.is_running() or time.monotonic() > deadline:
                state = "did not answer in time" if self.is_running() else "ended at once"
                raise NodeError(f"{self._process.args!r} {state}; its log {self.log} ends with:\n{self._tail()}")
            time.sleep(0.1)

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
