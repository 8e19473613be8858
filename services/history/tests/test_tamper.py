"""Tampering with stored lines behind the service's back is found, at the first bad line (L15)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.chassis.data.db import Database
from services.chassis.ids import new_id
from services.chassis.keys.keystore import KeyStore
from services.history import store
from services.history.audit import verify_chain
from services.history.domain import Flaw, Head, append
from services.history.heads import HeadsError, Signed, SignedHeads
from services.history.models import Chain, Line
from services.history.tests.conftest import START, Sources

COUNT = 10


class Chained:
    """A chain of ten lines, its signed heads, and a way around the triggers, as an attacker with root would have."""

    def __init__(self, database: Database, folder: Path, keep: Callable[..., int], sources: Sources) -> None:
        self.database = database
        self.path = folder / "heads" / "history.jsonl"
        self.keys = KeyStore(folder / "head-keys", b"test")
        self.signed_heads = SignedHeads(self.path, self.keys)
        self.company = new_id()
        for _ in range(COUNT):
            keep(sources.event(company=self.company))
        keep(sources.event(company=new_id()))

    def sign(self, hours: int = 1) -> bool:
        heads = self.database.read(store.heads)
        return self.signed_heads.sign_if_due(heads, START + timedelta(hours=hours))

    def tamper(self, *statements: sa.Executable) -> None:
        with self.database.engine.begin() as connection:
            for name in ("lines_unchanged", "lines_kept"):
                on = " ON lines" if self.database.dialect == "postgresql" else ""
                connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}{on}")
            for statement in statements:
                connection.execute(statement)

    def verify(self) -> Flaw | None:
        signed = self.signed_heads.read().chains

        def walk(connection: sa.Connection) -> Flaw | None:
            head = next((head for head in store.heads(connection) if head.chain == self.company), Head(self.company))
            return verify_chain(connection, head, signed)

        return self.database.read(walk, snapshot=True)

    def line(self, number: int) -> sa.ColumnElement[bool]:
        return sa.and_(Line.chain == self.company, Line.number == number)

    def rewrite(self, keep_lines: int) -> list[sa.Executable]:
        """Forge the chain consistently: other data, all hashes and the stored head computed anew."""
        entries = list(self.database.read(lambda connection: list(store.chain_lines(connection, self.company))))
        head, statements = Head(self.company), [sa.delete(Line).where(Line.chain == self.company)]
        made: list[sa.Executable] = [*statements]
        for entry in entries[:keep_lines]:
            forged = {**store._values(entry), "data": '{"quantity":1000000}'}
            head, chained = append(head, store._line(_Row(forged)))  # type: ignore[arg-type]
            made.append(sa.insert(Line).values(**store._values(chained)))
        made.append(sa.update(Chain).where(Chain.chain == self.company).values(count=head.count, hash=head.hash))
        return made


class _Row:
    def __init__(self, values: dict[str, object]) -> None:
        self.__dict__.update(values)


@pytest.fixture
def chained(database: Database, tmp_path: Path, keep: Callable[..., int], sources: Sources) -> Chained:
    chained = Chained(database, tmp_path, keep, sources)
    assert chained.verify() is None
    return chained


@pytest.mark.parametrize("column", ["data", "action", "subject", "actor_id", "hardware_id", "request_id", "event_id"])
def test_an_edited_line_is_named(chained: Chained, column: str) -> None:
    chained.tamper(sa.update(Line).where(chained.line(4)).values({column: "x"}))
    flaw = chained.verify()
    assert flaw is not None and flaw.number == 4 and "does not match its hash" in flaw.reason


def test_an_edited_time_is_named(chained: Chained) -> None:
    chained.tamper(sa.update(Line).where(chained.line(4)).values(at=START))
    flaw = chained.verify()
    assert flaw is not None and flaw.number == 4


def test_an_edited_line_with_its_own_hash_mended_breaks_the_next_one(chained: Chained) -> None:
    entry = next(
        e for e in chained.database.read(lambda c: list(store.chain_lines(c, chained.company))) if e.number == 4
    )
    head = Head(chained.company, 3, entry.previous_hash)
    forged = store._line(_Row({**store._values(entry), "data": "{}"}))  # type: ignore[arg-type]
    chained.tamper(sa.update(Line).where(chained.line(4)).values(data="{}", hash=append(head, forged)[1].hash))
    flaw = chained.verify()
    assert flaw is not None and flaw.number == 5 and "does not follow" in flaw.reason


def test_a_deleted_line_is_named(chained: Chained) -> None:
    chained.tamper(sa.delete(Line).where(chained.line(4)))
    flaw = chained.verify()
    assert flaw is not None and flaw.number == 4 and "missing" in flaw.reason


def test_swapped_lines_are_named(chained: Chained) -> None:
    chained.tamper(
        sa.update(Line).where(chained.line(4)).values(number=1000),
        sa.update(Line).where(chained.line(5)).values(number=4),
        sa.update(Line).where(chained.line(1000)).values(number=5),
    )
    flaw = chained.verify()
    assert flaw is not None and flaw.number == 4


def test_a_line_moved_to_another_company_s_chain_is_named(chained: Chained) -> None:
    chained.tamper(sa.update(Line).where(chained.line(4)).values(company_id=new_id()))
    flaw = chained.verify()
    assert flaw is not None and flaw.number == 4 and "belongs to chain" in flaw.reason


def test_a_cut_tail_with_the_stored_head_left_is_named(chained: Chained) -> None:
    chained.tamper(sa.delete(Line).where(Line.chain == chained.company, Line.number > 7))
    flaw = chained.verify()
    assert flaw is not None and flaw.number == 8 and "10 lines" in flaw.reason


def test_a_cut_tail_with_the_stored_head_forged_is_found_by_the_signed_heads_only(chained: Chained) -> None:
    assert chained.sign()
    seventh = next(
        e for e in chained.database.read(lambda c: list(store.chain_lines(c, chained.company))) if e.number == 7
    )
    chained.tamper(
        sa.delete(Line).where(Line.chain == chained.company, Line.number > 7),
        sa.update(Chain).where(Chain.chain == chained.company).values(count=7, hash=seventh.hash),
    )
    flaw = chained.verify()
    assert flaw is not None and flaw.number == 8 and "missing" in flaw.reason
    chained.path.unlink()
    assert chained.verify() is None


def test_a_chain_rewritten_as_a_whole_is_found_by_the_signed_heads_only(chained: Chained) -> None:
    assert chained.sign()
    chained.tamper(*chained.rewrite(COUNT))
    flaw = chained.verify()
    assert flaw is not None and flaw.number == COUNT and "signed" in flaw.reason
    chained.path.unlink()
    assert chained.verify() is None


def test_a_chain_taken_away_with_its_head_is_found_by_the_signed_heads(chained: Chained) -> None:
    assert chained.sign()
    chained.tamper(
        sa.delete(Line).where(Line.chain == chained.company), sa.delete(Chain).where(Chain.chain == chained.company)
    )
    flaw = chained.verify()
    assert flaw is not None and flaw.number == 1


def test_heads_are_signed_hourly_and_only_when_a_chain_moved(
    chained: Chained, keep: Callable[..., int], sources: Sources
) -> None:
    assert chained.sign(1)
    keep(sources.event(company=chained.company))
    assert not chained.sign(1)
    assert chained.sign(2)
    assert not chained.sign(3)
    signed = chained.signed_heads.read()
    assert signed.documents == 2
    assert sorted(signed.chains[chained.company]) == [COUNT, COUNT + 1]


@pytest.mark.parametrize("kind", ["edited", "removed", "foreign key", "nonsense"])
def test_a_tampered_heads_file_is_refused_and_never_continued(
    chained: Chained, keep: Callable[..., int], sources: Sources, tmp_path: Path, kind: str
) -> None:
    for hour in (1, 2, 3):
        keep(sources.event(company=chained.company))
        assert chained.sign(hour)
    lines = chained.path.read_bytes().splitlines(keepends=True)
    if kind == "edited":
        lines[1] = lines[1].replace(b"[", b"[ ", 1)
    elif kind == "removed":
        del lines[1]
    elif kind == "foreign key":
        other = SignedHeads(tmp_path / "other.jsonl", KeyStore(tmp_path / "other-keys", b"test"))
        other.sign_if_due([Head("c", 1, "f" * 64)], START)
        lines[0] = (tmp_path / "other.jsonl").read_bytes()
    else:
        lines[2] = b"{}\n"
    chained.path.write_bytes(b"".join(lines))
    with pytest.raises(HeadsError, match=r"history\.jsonl, line \d"):
        chained.signed_heads.read()
    keep(sources.event(company=chained.company))
    with pytest.raises(HeadsError):
        chained.sign(9)


def test_documents_are_read_only_when_a_new_one_may_be_due(
    chained: Chained, keep: Callable[..., int], sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, reads = chained.signed_heads.read, []

    def counted() -> Signed:
        reads.append(1)
        return read()

    monkeypatch.setattr(chained.signed_heads, "read", counted)
    assert chained.sign(1)
    keep(sources.event(company=chained.company))
    assert [chained.sign(hours) for hours in (1, 1, 1, 2)] == [False, False, False, True]
    assert len(reads) == 3


def test_a_document_that_was_cut_off_while_it_was_written_is_written_again(
    chained: Chained, keep: Callable[..., int], sources: Sources
) -> None:
    assert chained.sign(1)
    whole = chained.path.read_bytes()
    chained.path.write_bytes(whole + b'{"kid": "history-hea')
    keep(sources.event(company=chained.company))
    assert chained.sign(2)
    assert chained.path.read_bytes().startswith(whole)
    assert chained.signed_heads.read().documents == 2


def test_heads_go_on_after_their_key_was_revoked(chained: Chained, keep: Callable[..., int], sources: Sources) -> None:
    """Issue 6.4: after `revoke-key history history-heads` no head was ever signed or believed again."""
    assert chained.sign(1)
    stolen = chained.keys.active("history-heads", "Ed25519").kid
    chained.keys.rotate("history-heads", "Ed25519")
    chained.keys.revoke("history-heads", stolen)
    assert chained.signed_heads.read().documents == 1
    keep(sources.event(company=chained.company))
    assert chained.sign(3)
    assert chained.signed_heads.read().documents == 2
    assert chained.verify() is None


def test_a_revoked_key_signs_no_head_behind_a_younger_one(
    chained: Chained, keep: Callable[..., int], sources: Sources, tmp_path: Path
) -> None:
    """Issue 6.4: who stole the key may not go on signing heads with it, whatever time he writes into them."""
    assert chained.sign(1)
    shutil.copytree(tmp_path / "head-keys", tmp_path / "stolen")
    stolen = chained.keys.active("history-heads", "Ed25519").kid
    chained.keys.rotate("history-heads", "Ed25519")
    chained.keys.revoke("history-heads", stolen)
    keep(sources.event(company=chained.company))
    assert chained.sign(3)
    keep(sources.event(company=chained.company))
    thief = SignedHeads(chained.path, KeyStore(tmp_path / "stolen", b"test"))
    thief.read = chained.signed_heads.read  # type: ignore[method-assign]
    assert thief.sign_if_due(chained.database.read(store.heads), START + timedelta(hours=5))
    with pytest.raises(HeadsError, match="which was revoked, after a younger key had signed"):
        chained.signed_heads.read()
