"""The tutorials are true: every command on their pages runs, in order, and prints what the page shows.

A ```console block holds commands (`$ `, continued with `> `), each followed by its output; `…` matches anything.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.installation import ROOT, Installation

PAGES = sorted(page for page in (ROOT / "docs/tutorial").glob("*.md") if page.name != "README.md")
_MARK = "@@ end of a command @@"


def commands(page: str) -> list[tuple[str, str]]:
    """Return the commands of a page, each with the output that stands below it."""
    found: list[tuple[list[str], list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(([line[2:]], []))
            elif line.startswith("> ") and not found[-1][1]:
                found[-1][0].append(line[2:])
            else:
                found[-1][1].append(line)
    return [("\n".join(command), "\n".join(output)) for command, output in found]


def matches(expected: str, actual: str) -> bool:
    """Tell whether the output is the expected one, `…` standing for anything within a line."""
    pattern = "".join("[^\n]*" if part == "…" else re.escape(part) for part in re.split("(…)", expected))
    return re.fullmatch(pattern, actual) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tutorial_prints_what_it_shows(page: Path, installation: Installation, tmp_path: Path) -> None:
    # The page's reader has the default addresses and a virtual environment; a test run has its own.
    replacements = {
        "http://127.0.0.1:8000": installation.base,
        "http://127.0.0.1:8080": installation.portal,
        "../.data": str(installation.folder),
        "../.venv/bin": str(Path(sys.executable).parent),
    }

    def here(text: str) -> str:
        for on_page, in_test in replacements.items():
            text = text.replace(on_page, in_test)
        return text

    steps = [(here(command), here(output)) for command, output in commands(page.read_text())]
    assert len(steps) > 10, "no commands were found on the page"
    script = "exec 2>&1\n" + "".join(f"{command}\nprintf '\\n%s\\n' '{_MARK}'\n" for command, _ in steps)
    done = subprocess.run(
        ["bash"], input=script, cwd=tmp_path, text=True, capture_output=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    outputs = done.stdout.split(f"\n{_MARK}\n")
    assert len(outputs) == len(steps) + 1, done.stdout[-2000:]
    wrong = [
        f"$ {command}\n--- page:\n{expected}\n--- printed:\n{actual.strip()}"
        for (command, expected), actual in zip(steps, outputs, strict=False)
        if not matches(expected, actual.strip("\n"))
    ]
    assert not wrong, "\n\n".join(["", *wrong])
