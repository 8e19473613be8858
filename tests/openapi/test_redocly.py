"""The OpenAPI document passes redocly's recommended rules (Issue 6.5): a tool that shares no code with ours."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from gateway.openapi import document

HERE = Path(__file__).parent


def test_redocly_finds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(document()), "utf-8")
    command = ["node", str(HERE / "node_modules/@redocly/cli/bin/cli.js"), "lint", str(path), "--format=json"]
    command += ["--config", str(HERE / "redocly.yaml")]
    environment = {**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.stdout.strip().startswith("{"), done.stdout + done.stderr
    found = json.loads(done.stdout)
    problems = [(item["ruleId"], item["message"], item["location"][0].get("pointer")) for item in found["problems"]]
    assert problems == []
    assert done.returncode == 0
