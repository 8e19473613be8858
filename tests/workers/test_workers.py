"""Tests that are shared out among workers: each is run once, and none that fails, is skipped or gets lost is missed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.workers.__main__ import ROOT, run
from tests.workers.plugin import LONGEST, Group

HEAD: Final = """import os
import pathlib

import pytest


def ran(name):
    # Who is run a second time finds the file.
    (pathlib.Path(os.environ["RAN"]) / name).open("x").close()


@pytest.fixture
def broken():
    raise OSError("no server")


@pytest.fixture
def ends_badly():
    yield
    raise OSError("did not stop")


"""
GOOD: Final = "\n".join(f"def test_{n}():\n    ran(f'{{__name__}}-{n}')\n" for n in range(20))
WRONG: Final = {
    "fails": ("def test_it():\n    assert 1 == 2\n", "FAILED test_fails.py::test_it"),
    "broken": ("def test_it(broken): ...\n", "ERROR test_broken.py::test_it"),
    "ends_badly": ("def test_it(ends_badly): ...\n", "ERROR test_ends_badly.py::test_it"),
    "skipped": ("def test_it():\n    pytest.skip('no server')\n", "1 skipped"),
    "killed": ("def test_it():\n    os.kill(os.getpid(), 9)\n", "LOST test_killed.py::test_it"),
}


def outcome(folder: Path, files: dict[str, str]) -> int:
    """Run these files on two workers and return the exit code."""
    tests, claims, made = folder / "tests", folder / "claims", folder / "ran"
    for one in (tests, claims, made):
        one.mkdir()
    (tests / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    for name, text in files.items():
        (tests / f"test_{name}.py").write_text(HEAD + text)
    arguments = [f"--rootdir={tests}", f"--config-file={tests}/pytest.ini", str(tests)]
    return run(2, arguments, claims, {"RAN": str(made), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})


def test_every_test_is_run_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(tmp_path, dict.fromkeys("abcde", GOOD)) == 0
    assert len(list((tmp_path / "ran").iterdir())) == 100
    assert "100 passed, 0 failed, 0 skipped, 0 lost" in capsys.readouterr().out


def test_what_takes_longest_begins_first_and_is_there() -> None:
    groups = [Group(name, "") for name in ("services/short.py", *reversed(LONGEST))]
    for group in groups:
        group.items = [None] * 500  # type: ignore[list-item]
    first = sorted(LONGEST, key=lambda name: (-LONGEST[name], name))
    assert [group.name for group in sorted(groups, key=lambda one: one.rank(""))] == [*first, "services/short.py"]
    assert [name for name in LONGEST if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("name", WRONG)
def test_what_goes_wrong_makes_the_whole_run_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    text, said = WRONG[name]
    assert outcome(tmp_path, {"good": GOOD, name: text}) == 1
    assert said in capsys.readouterr().out


def test_a_file_that_cannot_be_read_makes_the_whole_run_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(tmp_path, {"good": GOOD, "wrong": "import nothing_of_this_name\n"}) == 1
    assert "nothing_of_this_name" in capsys.readouterr().out
