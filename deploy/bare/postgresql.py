"""A private PostgreSQL cluster: own port and data folder, one database and two logins per service, fsync on."""

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deploy.bare.processes import LOOPBACK, NodeError, Process, account_for, free_port

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "max_connections": "300",
    "shared_buffers": "64MB",
    # Rule D6: a test of durability on a server that does not keep its word proves nothing.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "log_min_messages": "warning",
}


class Server:
    """A running PostgreSQL reached by its superuser's address: databases are made and dropped here."""

    def __init__(self, uri: str) -> None:
        """Remember the address `postgresql://user:password@host:port/postgres` of a superuser."""
        parts = urlsplit(uri)
        if not (parts.hostname and parts.port and parts.username):
            raise NodeError(f"PostgreSQL address needs user, host and port, like postgresql://u:p@host:5432/: {uri!r}")
        self.host, self.port = parts.hostname, parts.port
        self.user, self.password = parts.username, parts.password or ""

    def uri(self, database: str = "postgres", *, port: int | None = None) -> str:
        """Return the superuser's SQLAlchemy address of a database, or of a proxy in front on another port."""
        login = f"{self.user}:{self.password}"
        return f"postgresql+psycopg2://{login}@{self.host}:{port or self.port}/{database}"

    def service_uri(self, *, port: int | None = None) -> str:
        """Return the address with `{service}` in it that TESSERA_DATABASE_URI takes."""
        login = f"{{service}}:{{service}}-{self.password}"
        return f"postgresql+psycopg2://{login}@{self.host}:{port or self.port}/{{service}}"

    def migration_uri(self) -> str:
        """Return the owner's address with `{service}` in it that TESSERA_MIGRATION_URI takes."""
        login = f"{{service}}_owner:{{service}}-owner-{self.password}"
        return f"postgresql+psycopg2://{login}@{self.host}:{self.port}/{{service}}"

    def create_service(self, service: str) -> None:
        """Make a service's database, its owner (who migrates) and its login (who reads and writes rows only)."""
        owner = f"{service}_owner"
        with self.session() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (service,))
            if cursor.fetchone():
                return
            for login, password in (
                (owner, f"{service}-owner-{self.password}"),
                (service, f"{service}-{self.password}"),
            ):
                cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (login,))
                verb = "ALTER" if cursor.fetchone() else "CREATE"
                cursor.execute(f'{verb} ROLE "{login}" LOGIN PASSWORD %s', (password,))
            cursor.execute(f'CREATE DATABASE "{service}" OWNER "{owner}"')
            cursor.execute(f'REVOKE CONNECT, TEMPORARY ON DATABASE "{service}" FROM PUBLIC')
            cursor.execute(f'GRANT CONNECT ON DATABASE "{service}" TO "{service}"')
        with self.session(service) as cursor:
            cursor.execute(f'ALTER SCHEMA public OWNER TO "{owner}"')
            cursor.execute(f'GRANT USAGE ON SCHEMA public TO "{service}"')
            grant = f'ALTER DEFAULT PRIVILEGES FOR ROLE "{owner}" IN SCHEMA public GRANT'
            cursor.execute(f'{grant} SELECT, INSERT, UPDATE, DELETE ON TABLES TO "{service}"')
            cursor.execute(f'{grant} USAGE, SELECT ON SEQUENCES TO "{service}"')

    def create_database(self, name: str) -> str:
        """Make an empty database owned by the superuser and return its address."""
        with self.session() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}"')
        return self.uri(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, ending whoever is still connected to it."""
        with self.session() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    @contextmanager
    def session(self, database: str = "postgres") -> Iterator[Any]:
        """Give a cursor of the superuser that commits each statement by itself."""
        import psycopg2  # here, so that what only starts nodes needs the standard library alone

        connection = psycopg2.connect(
            host=self.host, port=self.port, user=self.user, password=self.password, dbname=database, connect_timeout=5
        )
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()


class PostgreSQL(Server):
    """A cluster that this process owns: start, stop, kill, pause; the data folder survives a stop."""

    def __init__(self, folder: Path, *, port: int | None = None, throw_away: bool = False) -> None:
        """Make the folder and choose the port; nothing is started yet.

        Args:
            folder: the cluster's own folder, outside a clone: PostgreSQL refuses root, so it belongs to the
                package's `postgres` user when we are root.
            port: a free one if None.
            throw_away: delete the folder if this process dies without closing the cluster.
        """
        self.folder = folder
        self._account = account_for("postgres")
        self._throw_away = folder if throw_away else None
        self._process: Process | None = None
        for part in (folder, folder / "socket"):
            part.mkdir(parents=True, exist_ok=True)
            self._give(part)
        password_file = folder / "password"
        if not password_file.exists():
            password_file.touch(mode=0o600)
            password_file.write_text(secrets.token_hex(16))
        self._give(password_file)
        super().__init__(f"postgresql://postgres:{password_file.read_text()}@{LOOPBACK}:{port or free_port()}/postgres")

    @property
    def is_running(self) -> bool:
        """Tell whether the cluster was started and has not ended."""
        return self._process is not None and self._process.is_running()

    @property
    def pid(self) -> int:
        """Process id of the postmaster.

        Raises:
            NodeError: the cluster was not started.
        """
        if self._process is None:
            raise NodeError("The PostgreSQL cluster is not started.")
        return self._process.pid

    def start(self, *, seconds: float = 60.0) -> "PostgreSQL":
        """Make the cluster if there is none, start it and wait until it takes a login."""
        programs = _newest_programs()
        data = self.folder / "data"
        if not (data / "PG_VERSION").exists():
            shutil.rmtree(data, ignore_errors=True)
            self._initialize(programs, data)
        settings = _SETTINGS | {"port": str(self.port), "unix_socket_directories": str(self.folder / "socket")}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._process = Process(
            [str(programs / "postgres"), "-D", str(data), *options],
            log=self.folder / "postgresql.log",
            env=_environment(),
            account=self._account,
            death_signal="QUIT",
            remove_folder=self._throw_away,
        )
        self._process.wait_for(self._answers, seconds=seconds)
        return self

    def stop(self) -> None:
        """Stop in order, ending open sessions (fast shutdown)."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Stop at once without writing anything (immediate shutdown); the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def pause(self) -> None:
        """Freeze the postmaster and every session: connections stay open and nothing answers."""
        for pid in self._family():
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen cluster go on."""
        for pid in self._family():
            os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop the cluster."""
        self.stop()

    def _family(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.end(number, seconds=30)
            self._process = None

    def _answers(self) -> bool:
        import psycopg2

        try:
            with self.session() as cursor:
                cursor.execute("SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True

    def _initialize(self, programs: Path, data: Path) -> None:
        identity: dict[str, Any] = {}
        if self._account is not None:
            identity = {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}
        done = subprocess.run(
            [
                str(programs / "initdb"),
                "-D",
                str(data),
                "-U",
                "postgres",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "--auth=scram-sha-256",
                f"--pwfile={self.folder / 'password'}",
                "--no-sync",
            ],
            env=_environment(),
            cwd="/",
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            **identity,
        )
        if done.returncode:
            raise NodeError(f"initdb failed in {self.folder}: {done.stdout}")

    def _give(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _newest_programs() -> Path:
    """Return the folder with the newest installed server's programs.

    Raises:
        NodeError: none is installed.
    """
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    if not versions:
        raise NodeError("PostgreSQL is not installed; run deploy/bare/install-debian-packages (as root or with sudo).")
    return max(versions, key=lambda path: int(path.parent.name))
