"""What the OpenAPI document says is what the door does (Issue 6.5): schemathesis, quickly, on a whole installation.

It makes requests from the document, right and wrong ones, and compares each answer with what the operation declares:
no 5xx, no status, media type or shape that is not told, 405 with Allow for other methods.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.installation import Installation

# They end the session or the company of whoever asks, so that nothing could be asked afterwards.
_ENDING = "delete_session|erase_me|change_password|import_company|create_company|delete_otp"
# Bodies that are no JSON are documents with signatures: the tool cannot make them, the hostile tests do.
_SIGNED = "return_|request_certificate|request_device_certificate"
_CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method"
)


# Who asks -> the addresses, and for how many seconds: staff where nobody else gets in, whoever has no login everywhere.
_RUNS = {"admin": ("^/", 60), "staff": ("^/v1/(staff|certificates)", 20), "nobody": ("^/", 20)}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A whole installation that is asked by each of them in turn."""
    made = Installation("embedded", tmp_path_factory.mktemp("schemathesis") / "data").start()
    yield made
    assert made.stop() == 0


@pytest.mark.parametrize("who", _RUNS)
def test_schemathesis_finds_nothing(installation: Installation, tmp_path: Path, who: str) -> None:
    paths, seconds = _RUNS[who]
    people = {"admin": installation.admin, "staff": installation.staff}
    login = [f"Authorization: Bearer {people[who]().tokens['access_token']}"] if who in people else []
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{installation.base}/openapi.json"),
        *("--checks", _CHECKS, "--phases", "examples,coverage", "--include-path-regex", paths),
        *("--mode", "all", "--seed", "1", "--workers", "1", "--no-color"),
        # Once: of two such options the tool takes the last.
        *("--exclude-operation-id-regex", f"{_ENDING}|{_SIGNED}", "--max-failures", "20"),
        *(part for line in login for part in ("--header", line)),
    ]
    # However slow the machine is, each operation is asked at least once; how many variants follow is a matter of time.
    for times in (1, 4, 16):
        limit = ("--max-time", str(seconds * times))
        done = subprocess.run(
            [*command, *limit], capture_output=True, text=True, timeout=1200, cwd=tmp_path, check=False
        )
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
        (selected,), (tested,) = (re.findall(rf"{word}: (\d+)", done.stdout) for word in ("Selected", "Tested"))
        if tested == selected:
            break
    assert tested == selected != "0", done.stdout[-3000:]
