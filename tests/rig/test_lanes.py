"""`make test` runs two processes: nothing falls between them, and what either finds is found."""

import tomllib

import pytest

from tests import __main__ as lanes


def test_the_two_lanes_take_every_folder_of_tests_once() -> None:
    with (lanes.ROOT / "pyproject.toml").open("rb") as file:
        folders = tomllib.load(file)["tool"]["pytest"]["ini_options"]["testpaths"]
    assert sorted(folder for lane in lanes.lanes().values() for folder in lane) == sorted(folders)


@pytest.mark.parametrize("broken", ["rooms", "whole"])
def test_what_fails_in_one_lane_fails_the_run(
    broken: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    good, missing = "tests/rig/test_lanes.py", "no/such/folder"
    folders = {name: [missing if name == broken else good] for name in ("rooms", "whole")}
    monkeypatch.setattr(lanes, "lanes", lambda: folders)
    assert lanes.run(["--collect-only", "-q"]) == pytest.ExitCode.USAGE_ERROR
    said = capfd.readouterr().out
    assert f"{broken} | ERROR: file or directory not found: {missing}" in said


def test_when_both_pass_the_run_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "lanes", lambda: {name: ["tests/rig/test_lanes.py"] for name in ("rooms", "whole")})
    assert lanes.run(["--collect-only", "-q"]) == 0
