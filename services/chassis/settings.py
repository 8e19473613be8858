"""Settings: one typed record, read once from the environment, checked before a start, passed and never imported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from services.chassis.addresses import Networks
from services.chassis.mail_server import MailServer, read_mail_server

EMBEDDED_BROKER = "embedded://"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class SettingsError(ValueError):
    """A setting has a value that cannot work; the text names it, the value and what is expected."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a Tessera process; names and defaults are those of the published contract."""

    data_dir: Path
    http: tuple[str, int]
    admin_http: tuple[str, int]
    portal: tuple[str, int]
    public_url: str
    api_url: str
    allowed_hosts: frozenset[str]
    trusted_proxies: Networks
    amqp_uri: str
    database_uri: str
    migration_uri: str
    key_dir: Path
    key_passphrase_file: Path
    public_key_dir: Path
    mail_server: MailServer | None
    legacy_uri: str | None
    demo: bool
    staff_otp: bool
    claimed_certificates: bool
    log_level: str
    fail_points: str
    strict: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings.

        Args:
            environment: names and values; the process environment when absent.

        Raises:
            SettingsError: a value cannot work.
        """
        env = os.environ if environment is None else environment
        data_dir = Path(env.get("TESSERA_DATA_DIR", ".data")).absolute()
        http = _address(env, "TESSERA_HTTP", "127.0.0.1:8000")
        portal = _address(env, "TESSERA_PORTAL", "127.0.0.1:8080")
        key_dir = Path(env.get("TESSERA_KEY_DIR", str(data_dir / "keys"))).absolute()
        database_uri = env.get("TESSERA_DATABASE_URI", f"sqlite:///{data_dir}/{{service}}.sqlite3")
        if not database_uri.startswith(("sqlite:", "postgresql")):
            raise SettingsError(
                f"TESSERA_DATABASE_URI is {_masked(database_uri)!r}: expected a postgresql:// or sqlite:// address."
            )
        amqp_uri = env.get("TESSERA_AMQP_URI", EMBEDDED_BROKER)
        if not amqp_uri.startswith(("amqp://", "amqps://", "embedded://")):
            raise SettingsError(
                f"TESSERA_AMQP_URI is {_masked(amqp_uri)!r}: expected amqp://user:password@host:port/vhost."
            )
        return cls(
            data_dir=data_dir,
            http=http,
            admin_http=_address(env, "TESSERA_ADMIN_HTTP", "127.0.0.1:8001"),
            portal=portal,
            public_url=_web_address(env, "TESSERA_PUBLIC_URL", f"http://{portal[0]}:{portal[1]}"),
            api_url=_web_address(env, "TESSERA_API_URL", _reached(*http)),
            allowed_hosts=_names(env.get("TESSERA_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")),
            trusted_proxies=_networks(env, "TESSERA_TRUSTED_PROXIES"),
            amqp_uri=amqp_uri,
            database_uri=database_uri,
            migration_uri=env.get("TESSERA_MIGRATION_URI", database_uri),
            key_dir=key_dir,
            key_passphrase_file=Path(env.get("TESSERA_KEY_PASSPHRASE_FILE", str(key_dir / "passphrase"))).absolute(),
            public_key_dir=Path(env.get("TESSERA_PUBLIC_KEY_DIR", str(key_dir / "public"))).absolute(),
            mail_server=_mail_server(env),
            legacy_uri=env.get("TESSERA_LEGACY_URI") or None,
            demo=_switch(env, "TESSERA_DEMO", default=True),
            staff_otp=_switch(env, "TESSERA_STAFF_OTP", default=True),
            claimed_certificates=_switch(env, "TESSERA_CLAIMED_CERTIFICATES", default=False),
            log_level=_level(env, "TESSERA_LOG_LEVEL"),
            fail_points=env.get("TESSERA_FAIL_POINTS", ""),
            strict=_switch(env, "TESSERA_STRICT", default=False),
        )

    def check_mail_server(self) -> None:
        """Look at the files that the mail server's setting names; the process that sends mails does so at its start.

        Raises:
            SettingsError: one of them cannot work.
        """
        try:
            if self.mail_server is not None:
                self.mail_server.context()
        except ValueError as error:
            raise SettingsError(str(error)) from error

    @property
    def is_embedded(self) -> bool:
        """Tell whether all services share this process and its in-process broker."""
        return self.amqp_uri.startswith("embedded:")

    def service_database_uri(self, service: str) -> str:
        """Return the address of one service's database."""
        return self.database_uri.replace("{service}", service)

    def service_migration_uri(self, service: str) -> str:
        """Return the address of one service's database with the login that owns the tables."""
        return self.migration_uri.replace("{service}", service)


def _names(text: str) -> frozenset[str]:
    return frozenset(part.strip().lower() for part in text.split(",") if part.strip())


def _networks(env: Mapping[str, str], name: str) -> Networks:
    texts = _names(env.get(name, ""))
    try:
        return Networks(texts)
    except ValueError as error:
        raise SettingsError(
            f"{name}: {error}. Expected addresses and networks like 127.0.0.1,10.0.0.0/8,fd00::/8."
        ) from error


def _mail_server(env: Mapping[str, str]) -> MailServer | None:
    uri = env.get("TESSERA_SMTP_URI", "")
    try:
        return read_mail_server(uri) if uri else None
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _switch(env: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = env.get(name, "").strip().lower()
    if value == "":
        return default
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise SettingsError(f"{name} is {value!r}: expected 1 or 0.")


def _level(env: Mapping[str, str], name: str) -> str:
    level = env.get(name, "").strip().upper() or "INFO"
    if level not in LOG_LEVELS:
        raise SettingsError(f"{name} is {level!r}: expected one of {', '.join(LOG_LEVELS)}.")
    return level


def _address(env: Mapping[str, str], name: str, default: str) -> tuple[str, int]:
    value = env.get(name, default)
    host, _, port = value.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise SettingsError(f"{name} is {value!r}: expected host:port, for example {default}.")
    return host.strip("[]"), int(port)


def _web_address(env: Mapping[str, str], name: str, default: str) -> str:
    value = env.get(name, "")
    if not value:
        return default
    try:
        parts = urlsplit(value)
        works = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        works = False
    if not works or "?" in value or "#" in value:
        raise SettingsError(f"{name} is {value!r}: expected http://host:port or https://host.")
    return value.rstrip("/")


def _reached(host: str, port: int) -> str:
    # Nobody reaches an address that stands for all of a machine's.
    try:
        address = ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    known = "localhost" if address.is_unspecified else f"[{host}]" if address.version == 6 else host
    return f"http://{known}:{port}"


def _masked(uri: str) -> str:
    # A URI may hold a password, and an error text may end up in a log.
    scheme, separator, _ = uri.partition("://")
    return f"{scheme}{separator}…" if separator else "…"
