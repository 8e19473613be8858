"""SMTP servers with certificates of a private CA: who is not the one named gets no mail (issue 6.3)."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.accounts.mails.sender import send_due, send_smtp
from services.accounts.tests.conftest import World
from services.accounts.tests.test_mails import URL, free_port, rows
from services.chassis.mail_server import read_mail_server
from tests.rig import wait_until


def issue(folder: Path, name: str, *, host: str = "127.0.0.1", days: int = 1, own: bool = False) -> Path:
    """Write CA, certificate and key as PEM files; with `own` the certificate signs itself."""
    now = datetime.now(UTC)

    def build(subject: str, issuer: str, key: Any, signer: Any, extension: x509.ExtensionType) -> bytes:
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=9))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(extension, critical=False)
            .sign(signer, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM)

    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    root = x509.BasicConstraints(ca=True, path_length=None)
    (folder / f"{name}.ca").write_bytes(build(f"ca of {name}", f"ca of {name}", authority, authority, root))
    issuer, signer = (host, key) if own else (f"ca of {name}", authority)
    (folder / f"{name}.crt").write_bytes(build(host, issuer, key, signer, names))
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / f"{name}.key").write_bytes(key.private_bytes(*pem))
    return folder / name


@contextmanager
def server(folder: Path, options: list[str]) -> Iterator[int]:
    """Run a real SMTP server on a free port."""
    port = free_port()
    command = [sys.executable, "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{port}", *options]
    process = subprocess.Popen([*command, "-c", "aiosmtpd.handlers.Mailbox", str(folder / "maildir")])

    def listens() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(listens, 20)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def tls(scheme: str, pair: Path) -> list[str]:
    kind = "smtps" if scheme == "smtps" else "tls"
    return [f"--{kind}cert", f"{pair}.crt", f"--{kind}key", f"{pair}.key"]


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
@pytest.mark.parametrize(
    ("case", "made", "reason"),
    [
        ("good", {}, None),
        ("wrong host", {"host": "192.0.2.1"}, "IP address mismatch"),
        ("expired", {"days": -1}, "expired"),
        ("self-signed", {"own": True}, "self-signed"),
    ],
)
def test_only_the_server_that_was_named_gets_a_mail(
    world: World, tmp_path: Path, scheme: str, case: str, made: dict[str, Any], reason: str | None
) -> None:
    """Issue 6.3: whoever stood in the way of the mail server got every link and password mail."""
    pair = issue(tmp_path, "pair", **made)
    world.register("ada@example.org")
    with server(tmp_path, tls(scheme, pair)) as port:
        uri = f"{scheme}://127.0.0.1:{port}?ca={pair}.ca"
        with structlog.testing.capture_logs() as lines:
            send_due(world.database, world.kit.keys, lambda _, message: send_smtp(read_mail_server(uri), message), URL)
    [row] = rows(world)
    if reason is None:
        assert row.sent_at is not None
        return
    assert (row.sent_at, row.sealed is None, row.next_at is None) == (None, False, False), case
    [failed] = [line for line in lines if line["event"] == "mail_failed"]
    assert reason in failed["error"]
    assert "ada@example.org" not in str(lines)
    assert not list((tmp_path / "maildir").glob("new/*"))


def test_only_the_authorities_that_were_named_are_trusted(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, other = issue(tmp_path, "pair"), issue(tmp_path, "other")
    world.register("ada@example.org")

    def fails(uri: str) -> str:
        send_due(world.database, world.kit.keys, lambda _, message: send_smtp(read_mail_server(uri), message), URL)
        [row] = rows(world)
        assert row.sent_at is None
        return str(row.error)

    with server(tmp_path, tls("smtps", pair)) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            # Without a CA of one's own it is the system's.
            send_smtp(read_mail_server(f"smtps://127.0.0.1:{port}"), _mail())
        assert "SSLCertVerificationError" in fails(f"smtps://127.0.0.1:{port}?ca={other}.ca")
        # Those of the system are not trusted beside a CA of one's own, and alone without one.
        monkeypatch.setenv("SSL_CERT_FILE", f"{pair}.ca")
        with pytest.raises(ssl.SSLCertVerificationError):
            send_smtp(read_mail_server(f"smtps://127.0.0.1:{port}?ca={other}.ca"), _mail())
        send_smtp(read_mail_server(f"smtps://127.0.0.1:{port}"), _mail())


def test_a_server_that_offers_no_tls_gets_a_mail_only_where_it_was_said(tmp_path: Path) -> None:
    pair = issue(tmp_path, "pair")
    with server(tmp_path, []) as port:
        with pytest.raises(Exception, match="STARTTLS"):
            send_smtp(read_mail_server(f"smtp://127.0.0.1:{port}?ca={pair}.ca"), _mail())
        for uri in (f"smtp://127.0.0.1:{port}", f"smtp://127.0.0.1:{port}?tls=none&ca={pair}.ca"):
            send_smtp(read_mail_server(uri), _mail())
    assert len(list((tmp_path / "maildir").glob("new/*"))) == 2


def _mail() -> Any:
    from email.message import EmailMessage

    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.org", "b@example.org", "x"
    message.set_content("x")
    return message
