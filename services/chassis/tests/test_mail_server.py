"""TESSERA_SMTP_URI: what cannot work is said at the start, not by mails that wait (issue 6.3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.chassis.mail_server import MailServer, read_mail_server
from services.chassis.settings import Settings, SettingsError

WRONG = {
    "mail.example.com": "neither smtp:// nor smtps://",
    "http://mail.example.com": "neither smtp:// nor smtps://",
    "smtp://": "there is no host",
    "smtp://:25": "there is no host",
    "smtp://mail.example.com:0": "port is 0",
    "smtp://mail.example.com:99999": "the port is no number",
    "smtp://mail.example.com:smtp": "the port is no number",
    "smtp://mail.example.com/?tls": "option is not name=value",
    "smtp://mail.example.com?tls=nne": "tls=nne is not a valid value",
    "smtp://mail.example.com?tls=NONE": "tls=NONE is not a valid value",
    "smtp://mail.example.com?tls=": "tls= is not a valid value",
    "smtp://mail.example.com?TLS=none": "there is no option 'TLS'",
    "smtp://mail.example.com?verify=0": "there is no option 'verify'",
    "smtp://mail.example.com?tls=none&tls=none": "given twice",
    "smtps://mail.example.com?tls=none": "smtps:// is TLS",
    "smtp://mail.example.com?ca=ca.pem": "not an absolute path",
    "smtp://mail.example.com?ca=": "not an absolute path",
    "smtp://mail.example.com/inbox": "something follows the port",
    "smtp://mail.example.com#tls=none": "something follows the port",
    "smtp://ada:s3#cret@mail.example.com": "",
    "smtp://ada:s3/cret@mail.example.com": "",
    "smtp://ada:s3?cret@mail.example.com": "",
    "smtp://ada@mail.example.com": "user and password come together",
    "smtp://:s3cret@mail.example.com": "user and password come together",
}


@pytest.mark.parametrize("uri", WRONG)
def test_what_cannot_work_stops_the_start_in_one_line(uri: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({"TESSERA_SMTP_URI": uri})
    text = str(caught.value)
    assert text.startswith("TESSERA_SMTP_URI is ") and "Expected for example smtp://" in text
    assert uri.rpartition("@")[2] in text and WRONG[uri] in text
    assert "\n" not in text and "s3" not in text and "cret" not in text


@pytest.mark.parametrize(
    ("uri", "server"),
    [
        ("smtp://mail.example.com", MailServer("mail.example.com", 25, None, "", "starttls", None)),
        ("smtps://mail.example.com/", MailServer("mail.example.com", 465, None, "", "smtps", None)),
        ("smtp://[::1]:2525", MailServer("::1", 2525, None, "", "none", None)),
        ("smtp://a%40b:p%23%2F%3F%40@m.example?tls=none", MailServer("m.example", 25, "a@b", "p#/?@", "none", None)),
        ("smtp://localhost?ca=/etc/ca.pem", MailServer("localhost", 25, None, "", "starttls", Path("/etc/ca.pem"))),
        ("smtps://m:587?ca=/a%20b", MailServer("m", 587, None, "", "smtps", Path("/a b"))),
    ],
)
def test_what_can_work_is_read(uri: str, server: MailServer) -> None:
    assert read_mail_server(uri) == server


@pytest.mark.parametrize("content", [None, b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_file_of_authorities_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    settings = Settings.from_environment({"TESSERA_SMTP_URI": f"smtp://mail.example.com?ca={path}"})
    with pytest.raises(SettingsError) as caught:
        settings.check_mail_server()
    assert str(caught.value).startswith(f"TESSERA_SMTP_URI: ca={path}: ")
    assert "name a readable PEM file" in str(caught.value) and "\n" not in str(caught.value)


def test_a_name_that_no_file_can_have_is_told_like_one_that_is_gone() -> None:
    settings = Settings.from_environment({"TESSERA_SMTP_URI": "smtp://mail.example.com?ca=/etc/a%00b"})
    with pytest.raises(SettingsError, match=r"TESSERA_SMTP_URI: ca=/etc/a.b: .*name a readable PEM file"):
        settings.check_mail_server()
