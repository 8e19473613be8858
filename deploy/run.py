"""`make run`: all five services and the gateway in this process, the portal's page in a small one beside it.

An empty data folder gets databases and the demo world first (or, with TESSERA_DEMO=0, a staff account whose password is
in a 0600 file). `/readyz` says 200 when everything is there; then the addresses are printed. Ends on SIGINT or SIGTERM.
"""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

# Sockets must be green before anything else is imported that may open one (rule D1).
from services.chassis.bus import green  # noqa: F401  # isort: skip

import eventlet
import structlog

from deploy import demo
from deploy.alone import check_ports, hold, keep_private
from deploy.bare.processes import Process
from deploy.factor import with_staff_otp
from deploy.migrate import migrate
from deploy.rooms import GATEWAY, ROOMS, service_class
from deploy.staff import FIRST_STAFF_FILE, make_first_staff, make_staff
from services.chassis import logs
from services.chassis.keys.keystore import KeyStore, KeyStoreError
from services.chassis.service.runner import Runner
from services.chassis.settings import Settings, SettingsError

_READY_SECONDS = 60.0
_PORTAL_PAUSE_SECONDS = 2.0
_log = structlog.get_logger(__name__)


def prepare(settings: Settings, *, first_start: bool | None = None) -> None:
    """Make databases and the first account ready, before any service starts; quick when there is nothing to do.

    Args:
        settings: of the installation.
        first_start: whether the data folder was empty; looked up when absent.
    """
    first_start = demo.is_first_start(settings) if first_start is None else first_start
    if first_start:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if settings.demo:
            demo.begin(settings)
        else:
            (settings.data_dir / demo.FIRST_START).touch()
    if first_start and settings.is_embedded:
        # Making tables needs Alembic, 15 MB that a process which goes on to serve should not carry along.
        done = subprocess.run([sys.executable, "-m", "deploy.migrate"], check=False, capture_output=True, text=True)
        if done.returncode:
            raise SettingsError(f"The databases could not be made: {done.stderr.strip()}")
    else:
        migrate(settings)
    choices = demo.pending(settings)
    if choices is not None:
        make_staff(settings, choices["staff"]["email"], choices["staff"]["password"])
    elif (settings.data_dir / demo.FIRST_START).exists():
        make_first_staff(settings)
        (settings.data_dir / demo.FIRST_START).unlink()


def finish(settings: Settings) -> None:
    """Make the demo world if it is wanted and not there yet, and wait until the gateway says that it is ready.

    Raises:
        demo.DemoError: the demo world could not be made.
        TimeoutError: something did not become ready in time.
    """
    choices = demo.pending(settings)
    if choices is not None:
        demo.build(settings, choices)
    deadline = time.monotonic() + _READY_SECONDS
    while not _is_ready(settings):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the gateway did not become ready within {_READY_SECONDS:.0f} s; see the log")
        time.sleep(0.05)


def tell_addresses(settings: Settings) -> None:
    """Print where everything is."""
    gateway = f"http://{demo.host_of(settings.http)}"
    rows = [
        ("API", f"{gateway}/v1"),
        ("API documentation", f"{gateway}/docs"),
        ("Portal", settings.public_url),
        ("Metrics", f"http://{demo.host_of(settings.admin_http)}/metrics"),
        ("Data", str(settings.data_dir)),
    ]
    if settings.mail_server is None:
        rows.append(("Mails", str(settings.data_dir / "mail")))
    for name, label in ((demo.DEMO, "Demo logins"), (FIRST_STAFF_FILE, "First staff login")):
        if (settings.data_dir / name).exists():
            rows.append((label, str(settings.data_dir / name)))
    lines = "".join(f"  {label:<18} {value}\n" for label, value in rows)
    sys.stdout.write(f"\nTessera is ready.\n{lines}\nStop with Ctrl-C.\n")
    sys.stdout.flush()


def main() -> int:
    """Run everything until asked to stop."""
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if not settings.is_embedded:
        sys.stderr.write(
            "make run has its own broker: unset TESSERA_AMQP_URI, or start each service by `python -m deploy.role`.\n"
        )
        return 2
    logs.configure("tessera", settings.log_level)
    try:
        settings.check_mail_server()
        check_ports(settings)
        is_first_start = demo.is_first_start(settings)
        settings = with_staff_otp(settings, os.environ, first_start=is_first_start)
        os.umask(0o077)
        lock = hold(settings)
        keep_private(settings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"TESSERA_DATA_DIR is {settings.data_dir}: {error.strerror}; name a folder to write in.\n")
        return 2
    with lock:
        return _run(settings, is_first_start)


def _run(settings: Settings, is_first_start: bool) -> int:
    try:
        prepare(settings, first_start=is_first_start)
        for room in (*ROOMS, GATEWAY):
            KeyStore.from_settings(settings, room).check()
    except (SettingsError, KeyStoreError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    portal = Portal(settings)
    eventlet.spawn_n(portal.keep)
    runner = Runner(settings, [service_class(name) for name in (*ROOMS, GATEWAY)])
    try:
        runner.start()
        finish(settings)
        tell_addresses(settings)
        return runner.wait()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (demo.DemoError, TimeoutError) as error:
        sys.stderr.write(f"Tessera could not start: {error}\n")
        return 1
    finally:
        portal.stop()
        runner.stop()


class Portal:
    """The portal's process: it ends with this one, however this one ends, and is started again when it ends by itself.

    Args:
        settings: of the installation.
    """

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.data_dir / "log"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._stopped = False
        self._process = self._start()

    def keep(self) -> None:
        """Watch the process until it is stopped; run in a green thread."""
        while not self._stopped:
            time.sleep(_PORTAL_PAUSE_SECONDS)
            if not self._stopped and not self._process.is_running():
                reason = self._process.log.read_text(errors="replace").strip().rpartition("\n")[2][-300:]
                _log.error("the portal ended and is started again", reason=reason, log=str(self._process.log))
                self._process.end(signal.SIGTERM)
                self._process = self._start()
                if self._stopped:
                    # Asked to stop while this one started: nobody else knows of it.
                    self._process.end(signal.SIGTERM)

    def stop(self) -> None:
        """End the process."""
        self._stopped = True
        self._process.end(signal.SIGTERM, seconds=5)

    def _start(self) -> Process:
        path = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH", "")]))
        return Process(
            [sys.executable, "-m", "portal"],
            log=self._folder / "portal.log",
            env={**os.environ, "PYTHONPATH": path},
            death_signal="TERM",
        )


def _is_ready(settings: Settings) -> bool:
    connection = http.client.HTTPConnection(*settings.http, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    raise SystemExit(main())
