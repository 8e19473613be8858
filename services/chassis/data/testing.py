"""What tests of every room need: a database built by the room's migrations, and calls by a person of their choice."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from services.chassis.context import Call
from services.chassis.data.audit.checks import Check
from services.chassis.data.db import Database
from services.chassis.data.migrations import upgrade
from services.chassis.data.tables import UtcDateTime
from services.chassis.ids import new_id
from services.chassis.keys.keystore import KeyStore

T = TypeVar("T")
# What was lived through once: the server or "sqlite" and who lived it, then where it is, its keys and what was told.
_LIVED: Final[dict[tuple[str, Any], tuple[str, Path, Any]]] = {}


def make_database(service: str, uri: str, folder: Path) -> Database:
    """Return a service's database at its newest revision, with keys in `folder`.

    Args:
        uri: an SQLite file, or an empty PostgreSQL database by its superuser's address.
    """
    _copy_template(service, uri)
    return Database(service, uri, keystore=KeyStore(folder / "keys", b"test"))


def make_lived_database(
    service: str, uri: str, folder: Path, live: Callable[[Database, Path], T]
) -> tuple[Database, T]:
    """Return a copy of a database in which something was done, for tests that each spoil it in another way.

    Args:
        uri: an SQLite file that is not there yet, or an empty PostgreSQL database by its superuser's address.
        folder: where the copy's keys go.
        live: does it, once a server and test run, with a folder for what it needs besides; what it returns is shared by
            all copies, so nobody may change it.
    """
    url = sa.make_url(uri)
    is_file = url.get_backend_name() == "sqlite"
    server = "sqlite" if is_file else str(url.set(database="postgres").render_as_string(hide_password=False))
    if (server, live) not in _LIVED:
        _LIVED[server, live] = _live(service, server, live)
    source, keys, told = _LIVED[server, live]
    if is_file:
        shutil.copyfile(source, str(url.database))
        Path(str(url.database)).chmod(0o600)
    else:
        _copy_postgresql(server, source, str(url.database))
    shutil.copytree(keys, folder / "keys", dirs_exist_ok=True)
    return Database(service, uri, keystore=KeyStore(folder / "keys", b"test")), told


def _live(service: str, server: str, live: Callable[[Database, Path], T]) -> tuple[str, Path, T]:
    folder = Path(tempfile.mkdtemp(prefix="tessera-lived-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if server == "sqlite":
        source = str(folder / f"{service}.sqlite")
        uri = f"sqlite:///{source}"
    else:
        source = f"lived_{service}_{new_id()}"
        uri = sa.make_url(server).set(database=source).render_as_string(hide_password=False)
        with _superuser(server) as connection:
            connection.exec_driver_sql(f'CREATE DATABASE "{source}"')
    database = make_database(service, uri, folder)
    try:
        told = live(database, folder)
    finally:
        # Closed, SQLite writes its log into the file, and PostgreSQL lets it be copied.
        database.close()
    return source, folder / "keys", told


def make_call(
    *,
    user: str | None = None,
    company: str | None = None,
    role: str | None = "admin",
    rights: tuple[str, ...] = (),
    staff: bool = False,
    scopes: tuple[str, ...] = ("read", "write"),
    absorbed: tuple[str, ...] = (),
    command_id: str | None = None,
    seconds: float = 30.0,
) -> Call:
    """Return a call with the claims of an access token, as if verified."""
    claims: dict[str, Any] = {
        "sub": user or new_id(),
        "sid": new_id(),
        "jti": new_id(),
        "iat": int(time.time()),
        "exp": int(time.time()) + 900,
        "company": company,
        "companies": [company, *absorbed] if company else [],
        "role": role if company else None,
        "rights": list(rights),
        "staff": staff,
        "scopes": list(scopes),
        "project": None,
        "lang": "en",
    }
    return Call(claims=claims, command_id=command_id or new_id(), deadline=time.time() + seconds)


def _copy_template(service: str, uri: str) -> None:
    # Migrations run once a server and test run; each database after it is a copy, which takes a tenth of the time.
    url = sa.make_url(uri)
    target = Path(str(url.database))
    if url.get_backend_name() == "sqlite" and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_sqlite_template(service), target)
        target.chmod(0o600)
    elif url.get_backend_name() == "postgresql" and _is_empty(uri):
        server = str(url.set(database="postgres").render_as_string(hide_password=False))
        template = _postgresql_template(service, server)
        _copy_postgresql(server, template, str(url.database))
    else:
        # One that was there is brought to the newest revision.
        upgrade(service, uri)


def _copy_postgresql(server: str, source: str, name: str) -> None:
    with _superuser(server) as connection:
        connection.exec_driver_sql(f'DROP DATABASE "{name}"')
        connection.exec_driver_sql(f'CREATE DATABASE "{name}" TEMPLATE "{source}"')


@cache
def _sqlite_template(service: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tessera-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / f"{service}.sqlite"
    upgrade(service, f"sqlite:///{path}")
    return path


@cache
def _postgresql_template(service: str, server: str) -> str:
    name = f"template_{service}_{new_id()}"
    with _superuser(server) as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
    upgrade(service, sa.make_url(server).set(database=name).render_as_string(hide_password=False))
    return name


def _is_empty(uri: str) -> bool:
    with _superuser(uri) as connection:
        return connection.exec_driver_sql("SELECT to_regclass('public.alembic_version')").scalar() is None


@contextmanager
def _superuser(uri: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(uri, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        yield connection


@contextmanager
def unguarded(database: Database) -> Iterator[sa.Connection]:
    """Give a connection to a database without its triggers, foreign keys and checks, as somebody with root has it.

    Args:
        database: of a test; it stays unguarded.
    """
    with database.engine.connect() as connection:
        if database.dialect == "sqlite":
            connection.rollback()
            raw = connection.connection.driver_connection
            assert raw is not None
            for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                raw.execute(f'DROP TRIGGER "{name}"')
            raw.execute("PRAGMA foreign_keys = OFF")
            raw.execute("PRAGMA ignore_check_constraints = ON")
        else:
            connection.exec_driver_sql("SET session_replication_role = replica")
            checks = "SELECT conrelid::regclass, conname FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0"
            for table, name in connection.exec_driver_sql(checks + " AND connamespace = 'public'::regnamespace").all():
                connection.exec_driver_sql(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
        yield connection
        connection.commit()


def forge(connection: sa.Connection, model: Any, **values: Any) -> None:
    """Insert a row that no command made; columns that must have something and are not given get anything."""
    table: sa.Table = getattr(model, "__table__", model)
    anything: list[tuple[type[sa.types.TypeEngine[Any]], Any]] = [
        (sa.JSON, []),
        (UtcDateTime, datetime.now(UTC)),
        (sa.Date, datetime.now(UTC).date()),
        (sa.Boolean, False),
        (sa.Integer, 0),
        (sa.LargeBinary, b"x"),
        (sa.String, "x"),
    ]
    row = dict(values)
    for column in table.columns:
        has_one = column.nullable or column.default is not None or column.server_default is not None
        if column.name not in row and not has_one:
            row[column.name] = next(value for kind, value in anything if isinstance(column.type, kind))
    connection.execute(sa.insert(table).values(**row))


def flaws_of(checks: Iterable[Check], name: str) -> str:
    """Return what the check with this name found, as one text; there must be such a check."""
    (check,) = (check for check in checks if check.name == name)
    return "\n".join(check.flaws)
