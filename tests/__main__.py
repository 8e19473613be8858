"""Run every test, in two processes side by side: `python -m tests`, which is what `make test` does.

The first takes the rooms one by one, the second the whole installation from outside. Each starts nodes of its own, so
they meet nowhere but at the processors, and together they take about as long as the longer one.
"""

import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
_WHOLE = "tests"


def lanes() -> dict[str, list[str]]:
    """Return the folders of each process; together they are pyproject.toml's `testpaths`."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        folders = tomllib.load(file)["tool"]["pytest"]["ini_options"]["testpaths"]
    return {"rooms": [folder for folder in folders if folder != _WHOLE], "whole": [_WHOLE]}


def run(arguments: list[str]) -> int:
    """Run both; returns 0 if both passed, else the first other exit code.

    Args:
        arguments: for each pytest, like `-m long`.
    """
    running: dict[str, subprocess.Popen[str]] = {}
    readers = []
    for name, folders in lanes().items():
        command = [sys.executable, "-u", "-m", "pytest", "--color=no", *folders, *arguments]
        running[name] = subprocess.Popen(
            command, cwd=ROOT, text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        output = running[name].stdout
        assert output is not None
        readers.append(threading.Thread(target=_tell, args=(name, output)))
        readers[-1].start()
    try:
        codes = [process.wait() for process in running.values()]
    except KeyboardInterrupt:
        # Each got the signal of the terminal, too, and ends its nodes.
        codes = [process.wait() for process in running.values()]
    for reader in readers:
        reader.join()
    return next((code for code in codes if code), 0)


def _tell(name: str, output: IO[str]) -> None:
    for line in output:
        sys.stdout.write(f"{name} | {line}")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
