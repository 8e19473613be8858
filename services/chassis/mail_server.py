"""The mail server as `TESSERA_SMTP_URI` names it: read whole at the start, so that no mail waits for a typing error."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

SETTING: Final = "TESSERA_SMTP_URI"
_EXAMPLE: Final = "smtp://user:password@mail.example.com:587"
_PORTS: Final = {"smtp": 25, "smtps": 465}


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mails go.

    Args:
        host: name or address, which its certificate must be good for.
        port: of the server.
        user: None sends without a login.
        password: of the user.
        tls: `smtps` from the first byte, `starttls` by a word that the server must offer, or `none`.
        ca: file of the only authorities to trust; None trusts the system's.
    """

    host: str
    port: int
    user: str | None
    password: str = field(repr=False)
    tls: str
    ca: Path | None

    def context(self) -> ssl.SSLContext:
        """Return what verifies the server's certificate and name.

        Raises:
            ValueError: the file of the authorities cannot be read or holds no certificate; the text names setting,
                file and remedy.
        """
        try:
            return ssl.create_default_context(cafile=self.ca)
        except (OSError, ValueError) as error:
            why = "holds no certificate" if isinstance(error, ssl.SSLError) else getattr(error, "strerror", str(error))
            raise ValueError(
                f"{SETTING}: ca={self.ca}: {why}; name a readable PEM file with the certificates of the authorities."
            ) from error


def read_mail_server(uri: str) -> MailServer:
    """Read `smtp[s]://user:password@host:port?tls=none&ca=FILE`; files are not looked at.

    Raises:
        ValueError: it cannot work; the text names the setting, what is wrong and what to write instead.
    """
    try:
        parts = urlsplit(uri)
        port = parts.port
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True) if parts.query else []
    except ValueError:
        raise _wrong(uri, "the port is no number up to 65535, or an option is not name=value") from None
    if parts.scheme not in _PORTS:
        raise _wrong(uri, "it begins with neither smtp:// nor smtps://")
    if not parts.hostname or port == 0:
        raise _wrong(uri, "there is no host, or its port is 0")
    if parts.path not in {"", "/"} or parts.fragment or "#" in uri:
        raise _wrong(uri, "something follows the port that is no option; in a password # / ? @ are %23 %2F %3F %40")
    if (parts.username is None) != (parts.password is None) or parts.username == "":
        raise _wrong(uri, "user and password come together, as user:password@")
    ca, tls = _options(uri, parts, options)
    return MailServer(
        parts.hostname,
        port or _PORTS[parts.scheme],
        None if parts.username is None else unquote(parts.username),
        unquote(parts.password or ""),
        tls,
        ca,
    )


def _options(uri: str, parts: SplitResult, options: list[tuple[str, str]]) -> tuple[Path | None, str]:
    given = dict(options)
    if unknown := [name for name in given if name not in {"tls", "ca"}]:
        raise _wrong(uri, f"there is no option {unknown[0]!r}, only tls and ca")
    if len(given) < len(options):
        raise _wrong(uri, "an option is given twice")
    if "tls" in given and given["tls"] != "none":
        raise _wrong(uri, f"tls={given['tls']} is not a valid value; leave it out for TLS, or write tls=none")
    if "tls" in given and parts.scheme == "smtps":
        raise _wrong(uri, "smtps:// is TLS and tls=none is none; write smtp:// with tls=none, or leave it out")
    if "ca" in given and not Path(given["ca"]).is_absolute():
        # Processes of one installation run in different folders.
        raise _wrong(uri, f"ca={given['ca']} is not an absolute path; begin it with /")
    ca = Path(given["ca"]) if "ca" in given else None
    if parts.scheme == "smtps":
        return ca, "smtps"
    clear = "tls" in given or (ca is None and _is_loopback(parts.hostname or ""))
    return ca, "none" if clear else "starttls"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _wrong(uri: str, why: str) -> ValueError:
    # It may hold a password, with any sign in it: what stands before the last @ is never shown.
    scheme, separator, rest = uri.partition("://")
    _, at, place = rest.rpartition("@")
    shown = f"{scheme}{separator}{'…@' if at else ''}{place}" if separator else "…"
    return ValueError(f"{SETTING} is {shown!r}: {why}. Expected for example {_EXAMPLE}.")
