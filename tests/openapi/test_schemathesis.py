"""What the OpenAPI document says is what the door does (Issue 6.5): schemathesis, quickly, on a whole installation.

It makes requests from the document, right and wrong ones, and compares each answer with what the operation declares:
no 5xx, no status, media type or shape that is not told, 405 with Allow for other methods.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.integration.installation import Installation

# They end the session or the company of whoever asks, so that nothing could be asked afterwards.
_ENDING = "delete_session|erase_me|change_password|import_company|create_company|delete_otp"
_CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method"
)


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    installation = Installation("embedded", tmp_path / "data").start()
    try:
        token = installation.admin().tokens["access_token"]
        command = [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{installation.base}/openapi.json"),
            *("--header", f"Authorization: Bearer {token}", "--checks", _CHECKS, "--phases", "coverage"),
            *("--mode", "all", "--seed", "1", "--workers", "1", "--max-time", "60", "--no-color"),
            *("--exclude-operation-id-regex", _ENDING, "--max-failures", "20"),
            # Bodies that are no JSON are documents with signatures: the tool cannot make them, the hostile tests do.
            *("--exclude-operation-id-regex", "return_|request_certificate|request_device_certificate"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=tmp_path, check=False)
    finally:
        assert installation.stop() == 0
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "Coverage" in done.stdout
