"""The auditor blinded in each place in turn: whatever it no longer tells, a test of tampering misses (L18).

Each place where an audit notes a flaw is taken out of a copy of the tree, and the tests of tampering run there: they
must fail. It takes long, so `make faults` runs it. Issue 6.4: five checks were switched off, and no test missed them.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPIED = ("services", "deploy", "gateway", "portal", "clients", "tests", "conftest.py", "pyproject.toml")
TESTS = {
    "services/licensing/audit/__init__.py": "services/licensing/tests/test_tampering.py",
    "services/licensing/audit/lines.py": "services/licensing/tests/test_tampering.py",
    "services/licensing/audit/told.py": "services/licensing/tests/test_tampering.py",
    "services/licensing/audit/files.py": "services/licensing/tests/files/test_audit.py",
    "services/licensing/audit/certificates.py": "services/licensing/tests/files/test_audit.py",
    "services/licensing/audit/keys.py": "services/licensing/tests",
    "services/licensing/audit/stored.py": "services/licensing/tests/test_tampering.py",
    "services/licensing/audit/issued.py": "services/licensing/tests/files/test_audit.py",
    "services/accounts/audit/grants.py": "deploy/tests/test_tampering.py",
    "services/accounts/audit/offered.py": "deploy/tests/test_tampering.py",
    "services/licensing/audit/filed.py": "services/licensing/tests/test_tampering.py",
    "services/accounts/audit/told.py": "deploy/tests/test_tampering.py",
    "services/chassis/data/audit/rows.py": "deploy/tests/test_tampering.py",
    "services/accounts/audit/__init__.py": "deploy/tests/test_tampering.py",
    "services/accounts/audit/people.py": "deploy/tests/test_tampering.py",
    "services/devices/audit/__init__.py": "deploy/tests/test_tampering.py",
    "services/projects/audit/__init__.py": "deploy/tests/test_tampering.py",
    "services/history/audit/__init__.py": "deploy/tests",
    "services/chassis/data/audit/checks.py": "deploy/tests",
    "services/chassis/data/audit/places.py": "deploy/tests/test_tampering.py",
    "services/chassis/data/audit/report.py": "deploy/tests/test_tampering.py",
    "services/chassis/data/audit/copies.py": "deploy/tests/test_audit_copies.py",
    "services/chassis/data/aliases.py": "deploy/tests/test_tampering.py",
}
# A key of the table keeps this from ever being stored; who drops the key has other ways.
_NOTED = ("flaws", "untold", "unbooked", "unreadable", "late")
UNREACHABLE = ("belongs to company {company_id} {count} times",)


def places() -> list[tuple[str, int, int]]:
    """Return each place where a flaw is noted: file, first and last line."""
    found = []
    for name in TESTS:
        source = (ROOT / name).read_text()
        for node in ast.walk(ast.parse(source)):
            noted = isinstance(node, ast.Expr) and _notes(node.value)
            text = ast.get_source_segment(source, node) or "" if noted else ""
            if noted and not any(words in text for words in UNREACHABLE):
                assert isinstance(node, ast.Expr)
                found.append((name, node.lineno, node.end_lineno or node.lineno))
    return found


def _notes(value: ast.expr) -> bool:
    if isinstance(value, ast.Yield):
        return isinstance(value.value, ast.Constant | ast.JoinedStr) and not isinstance(
            getattr(value.value, "value", ""), int
        )
    called = getattr(value, "func", None)
    return isinstance(called, ast.Attribute) and called.attr == "add" and getattr(called.value, "id", "") in _NOTED


def blinded(source: str, first: int, last: int) -> str:
    """Return the source with the statement in these lines replaced by nothing."""
    lines = source.splitlines(keepends=True)
    indent = lines[first - 1][: len(lines[first - 1]) - len(lines[first - 1].lstrip())]
    return "".join([*lines[: first - 1], f"{indent}pass\n", *lines[last:]])


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blinded")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".hypothesis"))
        else:
            shutil.copy(source, folder / name)
    return folder


@pytest.mark.long
@pytest.mark.parametrize("place", places(), ids=lambda place: f"{place[0]}:{place[1]}")
def test_a_blinded_place_is_missed_by_a_test(copy: Path, place: tuple[str, int, int]) -> None:
    name, first, last = place
    source = (ROOT / name).read_text()
    try:
        (copy / name).write_text(blinded(source, first, last))
        command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-k", "sqlite or rooms or told", TESTS[name]]
        environment = {**os.environ, "PYTHONPATH": str(copy)}
        ended = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    finally:
        (copy / name).write_text(source)
    assert ended.returncode == 1, ended.stdout[-2000:]
