"""Copies between rooms are compared: one that is wrong is told, one that is behind is told apart from it (L18)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from deploy.audit_copies import COPIES
from deploy.tests.tampering import event_row
from services.chassis.data.audit.copies import Copy, check_copy
from services.chassis.data.tables import outbox_head, positions
from services.chassis.data.testing import flaws_of, forge, make_database

WRONG, LATE = "copies of projects of projects", "copies of projects of projects caught up"


class Two:
    """A source and a room, with facts that a test writes down, and a log that is as long as it says."""

    def __init__(self, uri: str, folder: Path) -> None:
        self.source = make_database("projects", f"{uri}/source.sqlite", folder)
        self.room = make_database("devices", f"{uri}/room.sqlite", folder)
        self.originals: list[dict[str, str]] = [{}]
        self.copies: list[dict[str, str]] = [{}]
        self.looks = 0

    def log(self, sequences: int, *, unnumbered: int = 0, applied: int) -> None:
        """Let the source have so many events, and the room have applied some of them."""
        with self.source.engine.begin() as connection:
            for number in range(1, sequences + unnumbered + 1):
                table, values = event_row("project_changed", str(number))
                place = number if number <= sequences else None
                forge(connection, table, **{**values, "sequence": place, "emission": number})
            connection.execute(sa.update(outbox_head).values(last_sequence=sequences))
        self.apply(applied)

    def apply(self, sequence: int) -> None:
        """Let the room have applied so many events."""
        with self.room.engine.begin() as connection:
            connection.execute(sa.delete(positions))
            forge(connection, positions, source="projects", sequence=sequence)

    def audited(self, seconds: float = 0) -> dict[str, str]:
        """Return what both checks tell."""

        def facts(looks: list[dict[str, str]]) -> Iterable[tuple[str, str]]:
            return looks[min(self.looks, len(looks) - 1)].items()

        def copied(_: Connection) -> Iterable[tuple[str, str]]:
            found = facts(self.copies)
            self.looks += 1
            return found

        copy = Copy("projects", "projects", "devices", lambda _: facts(self.originals), copied)
        checks = check_copy(copy, self.source, self.room, time.monotonic() + seconds)
        return {name: flaws_of(checks, name) for name in (WRONG, LATE)}


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    rooms = Two(f"sqlite:///{tmp_path}", tmp_path)
    yield rooms
    rooms.source.close()
    rooms.room.close()


@pytest.mark.parametrize(("original", "copy"), [("a", "b"), ("a", None), (None, "b")])
def test_a_copy_that_is_wrong_is_told(two: Two, original: str | None, copy: str | None) -> None:
    two.log(5, applied=5)
    two.originals, two.copies = [{"p": original} if original else {}], [{"p": copy} if copy else {}]
    told = two.audited()
    assert told[LATE] == ""
    assert f"projects p: devices has {copy or 'nothing'}, and projects has {original or 'nothing'}" in told[WRONG]


@pytest.mark.parametrize(("sequences", "unnumbered"), [(6, 0), (5, 1)])
def test_a_copy_that_is_behind_is_told_apart(two: Two, sequences: int, unnumbered: int) -> None:
    two.log(sequences, unnumbered=unnumbered, applied=5)
    two.originals, two.copies = [{"p": "a"}], [{"p": "b"}]
    told = two.audited()
    assert told[WRONG] == ""
    assert "projects p: devices has b and is behind projects; start the services" in told[LATE]


def test_a_copy_that_is_newer_than_what_was_read_of_its_source_is_no_flaw_and_told_of_nowhere(two: Two) -> None:
    two.log(5, applied=5)
    two.originals, two.copies = [{"p": "old"}, {"p": "new"}], [{"p": "new"}]
    assert two.audited() == {WRONG: "", LATE: ""}


def test_a_copy_that_catches_up_meanwhile_is_not_told(two: Two) -> None:
    two.log(6, applied=5)
    two.originals, two.copies = [{"p": "a"}], [{"p": "b"}, {"p": "b"}, {"p": "a"}]
    assert two.audited(seconds=60) == {WRONG: "", LATE: ""}
    assert two.looks == 3


def test_a_copy_that_stays_wrong_once_its_room_has_applied_all_is_told(two: Two) -> None:
    two.log(6, applied=5)
    two.originals, two.copies = [{"p": "a"}], [{"p": "b"}]
    apply = two.apply

    class Late(dict[str, str]):
        def items(self) -> Iterable[tuple[str, str]]:  # type: ignore[override]
            apply(6)
            return [("p", "b")]

    two.copies = [{"p": "b"}, Late(), {"p": "b"}]
    told = two.audited(seconds=60)
    assert "devices has b, and projects has a" in told[WRONG] and told[LATE] == ""


def test_every_copy_has_both_rooms_and_a_name_of_its_own() -> None:
    names = [(copy.name, copy.source, copy.room) for copy in COPIES]
    assert len(set(names)) == len(names) == 14
