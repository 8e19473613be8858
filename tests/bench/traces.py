"""A run of the bench leaves nothing behind: one folder for all that it makes, and a look at what is still there."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NODES = Path("/var/tmp")
_SET_CHILD_SUBREAPER = 36
# What tools keep in a clone between runs is no trace of a measurement.
_TOOLS = {".git", ".venv", "__pycache__", "node_modules", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}


def new_workplace() -> Path:
    """Return the path of a workplace that is still to be made, on a disk and outside the clone."""
    return NODES / f"tessera-bench-{secrets.token_hex(6)}"


@contextmanager
def workplace(work: Path) -> Iterator[None]:
    """Make the folder for nodes, installations and temporary files of this process and its children; remove all of it.

    It is reachable for PostgreSQL's own user.

    Args:
        work: its path, on a disk where what is measured syncs.
    """
    (work / "tmp").mkdir(parents=True)
    work.chmod(0o755)
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = tempfile.tempdir = str(work / "tmp")
    try:
        yield
    finally:
        tempfile.tempdir = None
        del os.environ["TMPDIR"]
        if before is not None:
            os.environ["TMPDIR"] = before
        for folder in (*node_folders(work), work):
            shutil.rmtree(folder, ignore_errors=True)


def node_folders(work: Path) -> list[Path]:
    """Return the folders with brokers and databases of the installations in a workplace; they lie outside of it."""
    found = []
    for owner in NODES.glob("tessera-nodes-*/owner"):
        with suppress(OSError):  # somebody else's, gone by now
            if Path(owner.read_text()).is_relative_to(work):
                found.append(owner.parent)
    return found


def adopt_orphans() -> None:
    """Become the parent of whatever the children of this process leave running, so that `still_running` finds it."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot become the parent of orphans")


def still_running() -> dict[int, str]:
    """Return command lines of children of this process that have not ended, by process id."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    children: dict[int, str] = {}
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            with suppress(OSError):  # ended in this moment
                children[int(pid)] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    return children


def files(root: Path) -> set[str]:
    """Return the paths of all files and folders of a clone but those of tools."""
    found = set()
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in _TOOLS]
        found |= {str(Path(folder, name).relative_to(root)) for name in (*folders, *names)}
    return found


def left_behind(
    root: Path, before: set[str], work: Path, *, others: Collection[int] = (), seconds: float = 10.0
) -> list[str]:
    """Return what a run has left, in words; processes among it are ended.

    Args:
        root: the clone.
        before: its files before the run.
        work: the run's workplace.
        others: ids of processes that this one had started before the run.
        seconds: how long a process that was told to end may take.
    """
    deadline = time.monotonic() + seconds
    while (
        running := {pid: name for pid, name in still_running().items() if pid not in others}
    ) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in running:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return [
        *(f"process {pid}: {command}" for pid, command in running.items()),
        *(f"folder {folder}" for folder in (*node_folders(work), work) if folder.exists()),
        *(f"file {path}" for path in sorted(files(root) - before)),
    ]
