"""Brings mails out: to files, or to an SMTP server; what fails is tried again, later and later, for three days.

A mail that cannot be rendered, since its template is gone or its content cannot be opened, is parked: the audit tells
of it, and others go on.

A mail is at worst sent twice with the same Message-ID, never lost. The loop around `send_due` is in `service`.
"""

import json
import smtplib
import ssl
from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final, cast

import structlog

from services.accounts.mails.render import render
from services.accounts.store import mails
from services.accounts.store.mails import QueuedMail
from services.chassis import metrics
from services.chassis.data.db import Database
from services.chassis.keys.keyfiles import write_private
from services.chassis.keys.keystore import KeyStore
from services.chassis.mail_server import MailServer
from services.chassis.settings import Settings

LEASE: Final = timedelta(seconds=60)
"""So long a process may take for one mail before another one tries it."""
WAITS: Final = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 1800)) + (timedelta(hours=2),) * 36
"""Time to the next attempt after the first, second, … failure; then the mail is given up."""
SMTP_SECONDS: Final = 10.0

_PARKED: Final = "cannot be rendered"
_GIVEN_UP: Final = metrics.counter(
    "tessera_mails_given_up_total",
    "Mails that no server took until their last attempt.",
    of="accounts",
    zero="Nobody got them; the log of accounts says why (`mail_failed`).",
)

_log = structlog.get_logger(__name__)

Post = Callable[[str, EmailMessage], None]
"""Delivers the message with this id or raises OSError or SMTPException."""


def post_for(settings: Settings) -> Post:
    """Return what delivers mails by the settings: SMTP when `TESSERA_SMTP_URI` is set, else files."""
    if settings.mail_server is None:
        folder = settings.data_dir / "mail"
        return lambda mail_id, message: write_file(folder, mail_id, message)
    server = settings.mail_server
    return lambda mail_id, message: send_smtp(server, message)


def write_file(folder: Path, mail_id: str, message: EmailMessage) -> None:
    """Write a message as `<mail id>.eml`, which sorts by time; it appears whole or not at all.

    Raises: OSError when the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Mails hold links with tokens: nobody else may read them.
    write_private(folder / f"{mail_id}.eml", message.as_bytes())


def send_smtp(server: MailServer, message: EmailMessage) -> None:
    """Send a message by SMTP to a server whose certificate is good for its name.

    Args:
        server: as the setting names it.
        message: to be sent.

    Raises: OSError or SMTPException when the server is away, refuses, or is not the one it should be; OSError when the
        file of its authorities is gone.
    """
    try:
        context = cast(ssl.SSLContext, _Handshakes(server.context()))
    except ValueError as error:
        # It was good at the start: whoever put it away can put it back, and the mail waits.
        raise OSError(str(error)) from error
    with _connected(server, context) as connection:
        if server.tls == "starttls":
            # Refused by SMTPNotSupportedError when the server, or somebody on the way, does not offer it.
            connection.starttls(context=context)
        if server.user is not None:
            connection.login(server.user, server.password)
        connection.send_message(message)


class _Handshakes:
    """A context as smtplib uses it, that closes the socket of a refused handshake; smtplib and eventlet leave it open.

    Args:
        context: verifies certificate and name.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def wrap_socket(self, sock: Any, *, server_hostname: str) -> Any:
        """Return the socket with TLS on it."""
        wrapped = self._context.wrap_socket(sock, server_hostname=server_hostname, do_handshake_on_connect=False)
        try:
            wrapped.do_handshake()
        except OSError:
            wrapped.close()
            raise
        return wrapped


def _connected(server: MailServer, context: ssl.SSLContext) -> smtplib.SMTP:
    if server.tls == "smtps":
        return smtplib.SMTP_SSL(server.host, server.port, timeout=SMTP_SECONDS, context=context)
    return smtplib.SMTP(server.host, server.port, timeout=SMTP_SECONDS)


def send_due(database: Database, keys: KeyStore, post: Post, public_url: str) -> bool:
    """Send the one mail that is due longest.

    Args:
        database: of accounts.
        keys: unseal the mail.
        post: delivers it.
        public_url: base of the links.

    Returns:
        Whether there was one, sent or not.
    """
    mail = database.write(lambda unit: mails.claim(unit, LEASE))
    if mail is None:
        return False
    try:
        message = _message(mail, keys, public_url)
    except Exception as error:  # noqa: BLE001 - whatever it is, no other attempt would end otherwise
        # Its content may be in the error's text: that says the type alone.
        reason = f"{_PARKED}: {type(error).__name__}"
        _log.error("mail_parked", mail=mail.id, template=mail.template, error=_reason(error))
        database.write(lambda unit: mails.park(unit, mail.id, reason))
        return True
    try:
        post(mail.id, message)
    except (OSError, smtplib.SMTPException) as error:
        wait = WAITS[mail.attempts] if mail.attempts < len(WAITS) else None
        if wait is None:
            _GIVEN_UP.inc()
        reason = f"{type(error).__name__}: {error}"
        # The text of an SMTP refusal may hold the address: it stays in the table and out of the log (S21).
        _log.warning("mail_failed", mail=mail.id, attempt=mail.attempts + 1, error=_reason(error))
        database.write(lambda unit: mails.failed(unit, mail.id, reason, wait))
        return True
    database.write(lambda unit: mails.sent(unit, mail.id))
    _log.info("mail_sent", mail=mail.id, template=mail.template)
    return True


def _reason(error: Exception) -> str:
    """Return what the log tells of a failure: the kind, and of a certificate what is wrong with it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{type(error).__name__}: {error.verify_message}"
    return type(error).__name__


def _message(mail: QueuedMail, keys: KeyStore, public_url: str) -> EmailMessage:
    if mail.sealed is None:
        raise ValueError("A mail without content is due.")
    content = json.loads(keys.unseal(mail.sealed, f"mails:{mail.id}"))
    return render(
        mail.template,
        mail.language,
        content["to"],
        content["values"],
        public_url=public_url,
        mail_id=mail.id,
        created_at=mail.created_at,
    )
