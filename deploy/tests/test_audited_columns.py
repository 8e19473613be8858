"""Every column of every table has a check that notices a change of it, or a reason why none does (L18).

The table is docs/reference/audited-columns.md. A migrated database has just its columns; and in an installation in
which everything was done once, another plausible value in a column is told by the check that the table names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from deploy.rooms import ROOMS
from deploy.tests.tampering_columns import Audited
from services.chassis.data.testing import make_database
from tests.faults.audited_world import live
from tests.integration.installation import Installation

_TABLE = Path(__file__).parents[2] / "docs" / "reference" / "audited-columns.md"
_ROW = re.compile(r"^\| (\w+) \| ([\w, ]+) \| ([^|]+) \|$")
_COMMON = "every room"


def declared() -> dict[str, dict[str, str]]:
    """Return by room (or `every room`) what the table says of each column, named `table.column`."""
    found: dict[str, dict[str, str]] = {}
    for line in _TABLE.read_text().splitlines():
        if line.startswith("## "):
            found[section := line[3:].lower()] = {}
        elif (row := _ROW.match(line)) is not None and row[1] != "Table":
            for column in row[2].split(", "):
                assert f"{row[1]}.{column}" not in found[section], f"{row[1]}.{column} stands twice"
                found[section][f"{row[1]}.{column}"] = row[3]
    return found


def reasons() -> set[str]:
    """Return the reasons that the table explains."""
    return set(re.findall(r"^- ([A-Z_]+): \S", _TABLE.read_text(), re.MULTILINE))


def test_the_table_has_every_column_of_the_migrated_databases_and_no_other(tmp_path: Path) -> None:
    says = declared()
    common, wrong, seen = says.pop(_COMMON), [], set()
    assert sorted(says) == sorted(ROOMS)
    for room in ROOMS:
        database = make_database(room, f"sqlite:///{tmp_path}/{room}.sqlite", tmp_path)
        inspector = sa.inspect(database.engine)
        there = {
            f"{table}.{column['name']}"
            for table in inspector.get_table_names()
            for column in inspector.get_columns(table)
            if table != "alembic_version"
        }
        database.close()
        seen |= there & common.keys()
        wrong += [f"{room}: no check and no reason for {name}" for name in there - common.keys() - says[room].keys()]
        wrong += [f"{room}: there is no {name}" for name in says[room].keys() - there]
        wrong += [f"{room}: {name} stands twice" for name in says[room].keys() & common.keys()]
    wrong += [f"no room has {name}" for name in common.keys() - seen]
    assert not wrong, "\n".join(["", *sorted(wrong)])


def test_every_reason_is_explained_and_used() -> None:
    used = {what for columns in declared().values() for what in columns.values() if what.isupper()}
    assert used == reasons()


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    folder = tmp_path_factory.mktemp("audited")
    running = Installation("embedded", folder / "data", {"TESSERA_TRUSTED_PROXIES": "127.0.0.1"}).start()
    live(running, folder / "devices")
    assert running.stop() == 0
    audited = Audited(folder / "data", folder / "copy")
    yield audited
    audited.close()


@pytest.mark.long
@pytest.mark.parametrize("room", ROOMS)
def test_another_value_in_a_column_is_told_by_its_check(audited: Audited, room: str) -> None:
    says = declared()
    expected, wrong = {**says[_COMMON], **says[room]}, []
    assert [check for check in audited.checks(room) if check.flaws] == []
    for column in audited.columns(room):
        name = expected[f"{column.table.name}.{column.name}"]
        if name.isupper():
            continue
        changes = [found for empty in (False, True) if (found := audited.change(room, column, empty=empty)) is not None]
        if not changes:
            wrong.append(f"{column}: the world has no row")
        wrong += [f"{what}: told by {sorted(flaws)}, not by {name!r}" for what, flaws in changes if name not in flaws]
    assert not wrong, "\n".join(["", *wrong])
