"""Mails: two languages, text and HTML, files and a real SMTP server; a server that is away delays and loses nothing."""

from __future__ import annotations

import email
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from services.accounts.audit.people import _sealed
from services.accounts.mails.acts import ACTS
from services.accounts.mails.render import render
from services.accounts.mails.sender import WAITS, post_for, send_due, send_smtp
from services.accounts.mails.texts import TEXTS
from services.accounts.models import Mail
from services.accounts.store import mails
from services.accounts.store.housekeeping import sweep
from services.accounts.tests.conftest import World
from services.chassis.mail_server import read_mail_server
from services.chassis.settings import Settings
from tests.rig.waiting import wait_until

URL = "https://portal.example"


def rows(world: World) -> list[Any]:
    with world.database.engine.connect() as connection:
        return list(connection.execute(sa.select(*Mail.__table__.c).order_by(Mail.id)))


def send(world: World, post: Any) -> bool:
    return send_due(world.database, world.kit.keys, post, URL)


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("template", sorted(TEXTS))
def test_every_mail_is_there_in_both_languages_as_text_and_html(template: str, language: str) -> None:
    message = render(
        template,
        language,
        "ada@example.org",
        {"token": "a&b=<c>"},
        public_url=URL,
        mail_id="1",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    parsed = email.message_from_bytes(message.as_bytes(), policy=policy.default)
    assert parsed["Content-Language"] == language
    assert set(TEXTS[template]) == {"en", "de"}
    for kind in ("plain", "html"):
        body = parsed.get_body((kind,))
        assert body is not None
        text = body.get_content()
        path = TEXTS[template][language].path
        if path not in (None, "/login"):
            assert f"{URL}{path}?token=a%26b%3D%3Cc%3E" in text
        assert "<c>" not in text


#: What a mail tells beyond words, as each language says it: times, counts, things, where to go. One row is one fact.
FACTS = {
    "once": (r"(?<!at )\bonce\b(?! the)", r"\beinmal\b"),
    "an hour": (r"\ban hour\b", r"\beine[r]? Stunde\b|\bin der Stunde\b"),
    "hours": (r"(\d+) hours", r"(\d+) Stunden"),
    "days": (r"(\d+)\s+days", r"(\d+) Tage"),
    "API token": (r"API token", r"API-Token"),
    "second factor": (r"second factor", r"zweite[rn]? Faktor"),
    "password": (r"password", r"Passwort"),
    "login page": (r"login page", r"Anmeldeseite"),
    "support": (r"support", r"Support"),
    "administrator": (r"administrator", r"Administrator"),
    "history": (r"history", r"Verlauf"),
    "sessions": (r"session", r"Sitzung"),
    "company": (r"compan(?:y|ies)", r"Firm(?:a|en)"),
    "device": (r"device", r"Gerät"),
    "ignore": (r"ignore", r"ignorieren"),
    "confirm": (r"confirm", r"[Bb]estätig"),
    "link": (r"\blink\b", r"\bLink\b"),
    "register": (r"register", r"[Rr]egistr"),
    "program": (r"program", r"Programm"),
    "colleague": (r"colleague", r"Kollegin"),
    "decline": (r"decline", r"ablehnen"),
    "settings": (r"settings", r"Einstellungen"),
    "vendor": (r"vendor", r"Hersteller"),
    "at once": (r"at once", r"sofort"),
    "licenses": (r"\blicenses", r"Lizenzen"),
    "all": (r"\ball\b", r"\balle[n]?\b"),
}


def _told(template: str, language: str) -> dict[str, list[str]]:
    text = TEXTS[template][language]
    words = f"{text.subject} {text.opening} {text.closing}"
    place = 0 if language == "en" else 1
    found = {name: sorted(set(re.findall(pair[place], words))) for name, pair in FACTS.items()}
    # Of a word it counts that it is there, of a number which one.
    return {name: [one if one.isdigit() else "told" for one in ones][:1] for name, ones in found.items() if ones}


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("template", sorted(TEXTS))
def test_no_line_of_a_mail_is_longer_than_quoted_printable_allows(template: str, language: str) -> None:
    """RFC 2045 6.7: at most 76 characters; the policy's own 78 are those of RFC 5322."""
    message = render(
        template,
        language,
        "ada@example.org",
        {"token": "t" * 200},
        public_url=URL,
        mail_id="1",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    for part in message.iter_parts():
        head, _, body = part.as_bytes().partition(b"\r\n\r\n")
        assert b"quoted-printable" in head
        assert max(map(len, body.split(b"\r\n"))) <= 76


@pytest.mark.parametrize("template", sorted(TEXTS))
def test_a_german_mail_tells_what_the_english_one_tells(template: str) -> None:
    """Also its link, and what to do: mails have nothing filled in but the token of the link."""
    english, german = TEXTS[template]["en"], TEXTS[template]["de"]
    assert _told(template, "de") == _told(template, "en")
    assert german.path == english.path
    assert bool(german.label) == bool(english.label) == (english.path is not None)
    numbers = [sorted(re.findall(r"\d+", text.opening + text.closing)) for text in (english, german)]
    assert numbers[0] == numbers[1]
    assert not re.search(r"[{}%]|\b(?:du|dein|dir)\b|(?<!E-)\bMails?\b", german.opening + german.closing)
    assert re.search(r"\b\w+e?n Sie\b", german.closing + german.opening)


@pytest.mark.parametrize("act", sorted(ACTS))
def test_a_mail_tells_what_was_done_and_when(act: str) -> None:
    for language, when in (("en", "on 2026-01-02 at 22:30 UTC"), ("de", "am 02.01.2026 um 22:30 Uhr (UTC)")):
        message = render(
            "service_account_changed",
            language,
            "ada@example.org",
            {"act": act},
            public_url=URL,
            mail_id="1",
            created_at=datetime(2026, 1, 3, 0, 30, tzinfo=timezone(timedelta(hours=2))),
        )
        for kind in ("plain", "html"):
            body = email.message_from_bytes(message.as_bytes(), policy=policy.default).get_body((kind,))
            assert body is not None
            assert f"{ACTS[act][language]} " in body.get_content()
            assert when in body.get_content()


def test_a_mail_is_written_once_and_its_content_forgotten(world: World, tmp_path: Path) -> None:
    world.register("ada@example.org")
    settings = Settings.from_environment({"TESSERA_DATA_DIR": str(tmp_path)})
    assert send(world, post_for(settings))
    assert not send(world, post_for(settings))
    [path] = (tmp_path / "mail").iterdir()
    assert path.suffix == ".eml"
    [row] = rows(world)
    assert (row.sealed, row.next_at, row.attempts) == (None, None, 1)
    assert row.sent_at is not None


def test_a_server_that_is_away_delays_a_mail_and_does_not_lose_it(world: World) -> None:
    world.register("ada@example.org")
    taken: list[EmailMessage] = []

    def away(_: str, message: EmailMessage) -> None:
        taken.append(message)
        raise OSError("connection refused")

    for attempt in range(3):
        assert send(world, away)
        [row] = rows(world)
        assert row.sent_at is None and row.error == "OSError: connection refused"
        assert timedelta(0) < row.next_at - datetime.now(UTC) <= WAITS[attempt]
        assert not send(world, away)
        with world.database.engine.begin() as connection:
            connection.execute(sa.update(Mail).values(next_at=datetime.now(UTC)))
    assert send(world, lambda _, message: taken.append(message))
    assert len({message["Message-ID"] for message in taken}) == 1
    assert rows(world)[0].sent_at is not None


def test_a_mail_that_a_process_took_and_never_sent_is_taken_again(world: World) -> None:
    world.register("ada@example.org")
    assert world.database.write(lambda unit: mails.claim(unit, timedelta(seconds=60))) is not None
    assert world.database.write(lambda unit: mails.claim(unit, timedelta(seconds=60))) is None
    with world.database.engine.begin() as connection:
        connection.execute(sa.update(Mail).values(next_at=datetime.now(UTC)))
    assert world.database.write(lambda unit: mails.claim(unit, timedelta(seconds=60))) is not None


@pytest.mark.parametrize("spoilt", [{"template": "of_a_later_version"}, {"sealed": b"no longer ours"}])
def test_a_mail_that_cannot_be_made_is_parked_and_others_go_on(world: World, spoilt: dict[str, Any]) -> None:
    """Issue 6.4: one mail that could not be rendered was tried for ever, and no other one was sent."""
    world.register("ada@example.org")
    [bad] = rows(world)
    with world.database.engine.begin() as connection:
        connection.execute(sa.update(Mail).values(**spoilt))
    world.register("bob@example.org")
    sent: list[EmailMessage] = []

    def post(_: str, message: EmailMessage) -> None:
        sent.append(message)

    assert send(world, post)
    assert send(world, post)
    assert not send(world, post)
    assert [message["To"] for message in sent] == ["bob@example.org"]
    [parked] = [row for row in rows(world) if row.id == bad.id]
    assert parked.parked_at is not None
    assert parked.next_at is None
    assert "ada" not in parked.error
    with world.database.engine.connect() as connection:
        flaws = _sealed(connection, world.kit.keys).flaws
    assert [flaw.split(":")[0] for flaw in flaws] == [f"mail {bad.id} is parked"]

    # Who forgets a person is not held up by it, and once it is mended it goes out.
    world.database.write(lambda unit: mails.forget(unit, world.kit.keys, ["carl@example.org"], found=[], after=""))
    with world.database.engine.begin() as connection:
        connection.execute(sa.update(Mail).where(Mail.id == bad.id).values(template=bad.template, sealed=bad.sealed))
    assert world.database.write(mails.release) == 1
    assert send(world, post)
    assert sent[-1]["To"] == "ada@example.org"


@pytest.fixture
def smtp(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Run a real SMTP server that puts what it takes into a maildir; gives its address and the folder."""
    with smtp_server(free_port(), tmp_path / "maildir") as address:
        yield address, tmp_path / "maildir"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextmanager
def smtp_server(port: int, folder: Path) -> Iterator[str]:
    """Run a real SMTP server; gives its address."""
    command = [sys.executable, "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{port}"]
    process = subprocess.Popen([*command, "-c", "aiosmtpd.handlers.Mailbox", str(folder)])

    def listens() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(listens, 20)
        yield f"smtp://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def test_a_mail_goes_to_an_smtp_server(world: World, smtp: tuple[str, Path]) -> None:
    address, folder = smtp
    world.register("ada@example.org", language="de")
    assert send(world, lambda _, message: send_smtp(read_mail_server(address), message))
    [path] = (folder / "new").iterdir()
    message = email.message_from_bytes(path.read_bytes(), policy=policy.default)
    assert (message["To"], message["Subject"]) == ("ada@example.org", "Aktivieren Sie Ihr Konto")
    assert rows(world)[0].sent_at is not None


def test_mails_of_the_time_when_the_server_was_down_arrive_once_it_is_back(world: World, tmp_path: Path) -> None:
    port, folder = free_port(), tmp_path / "maildir"

    def deliver() -> int:
        """Send all that is due; returns how many were tried."""
        with world.database.engine.begin() as connection:
            connection.execute(sa.update(Mail).where(Mail.next_at.is_not(None)).values(next_at=datetime.now(UTC)))
        tried = 0
        while send(world, lambda _, message: send_smtp(read_mail_server(f"smtp://127.0.0.1:{port}"), message)):
            tried += 1
        return tried

    world.register("ada@example.org")
    world.register("bert@example.org", language="de")
    for _ in range(2):
        assert deliver() == 2
        assert [row.sent_at for row in rows(world)] == [None, None]
        assert all("ConnectionRefusedError" in row.error for row in rows(world))
    with smtp_server(port, folder):
        assert deliver() == 2
        assert deliver() == 0
    found = [email.message_from_bytes(path.read_bytes(), policy=policy.default) for path in (folder / "new").iterdir()]
    assert {(message["To"], message["Content-Language"]) for message in found} == {
        ("ada@example.org", "en"),
        ("bert@example.org", "de"),
    }
    for message in found:
        assert all(message.get_body((kind,)) is not None for kind in ("plain", "html"))


def test_a_mail_that_is_given_up_keeps_no_content(world: World) -> None:
    world.register("ada@example.org")
    with world.database.engine.begin() as connection:
        connection.execute(sa.update(Mail).values(attempts=len(WAITS)))

    def away(_: str, message: EmailMessage) -> None:
        raise OSError("connection refused")

    assert send(world, away)
    [row] = rows(world)
    assert (row.sent_at, row.next_at, row.sealed, row.error) == (None, None, None, "OSError: connection refused")


def test_old_rows_are_swept_and_young_ones_stay(world: World) -> None:
    world.register("ada@example.org")
    assert world.database.write(sweep) == 0
    with world.database.engine.begin() as connection:
        connection.execute(sa.update(Mail).values(created_at=datetime.now(UTC) - timedelta(days=91)))
    assert world.database.write(sweep) == 1
