"""`make bench` leaves nothing behind: what its last look finds, and whole runs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import traces
from tests.rig import wait_until

ROOT = Path(__file__).resolve().parents[2]
_ORPHANING = """
import subprocess, sys
from pathlib import Path
from tests.bench import traces
root, work = Path(sys.argv[1]), Path(sys.argv[2])
traces.adopt_orphans()
subprocess.run(["/bin/sh", "-c", "sleep 600 & echo $! > " + str(root / "pid")], check=True)
print(*traces.left_behind(root, set(), work, seconds=0.5), sep="\\n")
"""


def test_a_process_that_outlives_its_parent_is_found_and_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _ORPHANING, str(tmp_path), str(tmp_path / "gone")]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    pid = int((tmp_path / "pid").read_text())
    assert told == [f"process {pid}: sleep 600", "file pid"]
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 30, what="the orphan has ended")


def test_what_is_left_in_the_clone_is_found_and_what_tools_keep_is_not(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    before = traces.files(tmp_path)
    for path in (".data/keys/private.json", "services/__pycache__/a.pyc", ".venv/bin/python"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert sorted(traces.files(tmp_path) - before) == [".data", ".data/keys", ".data/keys/private.json", "services"]


def test_a_workplace_goes_with_the_nodes_of_its_installations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "NODES", tmp_path)
    before, others = os.environ.get("TMPDIR"), traces.still_running()
    work = traces.new_workplace()
    with traces.workplace(work):
        for name, owner in (("tessera-nodes-1", work / "fleet"), ("tessera-nodes-2", tmp_path / "another" / "fleet")):
            (tmp_path / name / "postgresql").mkdir(parents=True)
            (tmp_path / name / "owner").write_text(str(owner))
        assert traces.left_behind(work, traces.files(work), work, others=others, seconds=0) == [
            f"folder {tmp_path / 'tessera-nodes-1'}", f"folder {work}",
        ]  # fmt: skip
        assert os.environ["TMPDIR"] == str(work / "tmp")
    assert [path.name for path in tmp_path.iterdir()] == ["tessera-nodes-2"]
    assert os.environ.get("TMPDIR") == before


@pytest.mark.long
@pytest.mark.parametrize("interrupted", [False, True], ids=["to_its_end", "ended_in_its_middle"])
def test_a_whole_run_leaves_nothing(tmp_path: Path, interrupted: bool) -> None:
    before = traces.files(ROOT), set(traces.NODES.glob("tessera-bench-*"))
    page, log = tmp_path / "page.md", tmp_path / "log"
    short = {"BENCH_RUNS": "1", "BENCH_SECONDS": "1", "BENCH_LOGIN_SECONDS": "2", "BENCH_PAGE": str(page)}
    with log.open("wb") as output:
        run = subprocess.Popen(
            [sys.executable, "-m", "tests.bench"], cwd=ROOT, env={**os.environ, **short}, stdout=output, stderr=output
        )
    try:
        if interrupted:
            wait_until(lambda: b"assign licenses" in log.read_bytes(), 300, what="the fleet is measured")
            run.send_signal(signal.SIGTERM)
        assert run.wait(600) == (128 + signal.SIGTERM if interrupted else 0), log.read_text()
    finally:
        run.kill()
    assert "left behind" not in log.read_text()
    assert page.exists() is not interrupted
    assert (traces.files(ROOT), set(traces.NODES.glob("tessera-bench-*"))) == before
