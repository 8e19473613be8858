"""Writes `gateway/procedures.json`: which codes each procedure raises, and with which status each code is refused.

Both stand in the code already: the first in the declarations of the procedures, the second where a refusal is made. The
gateway publishes them in the OpenAPI document, and may not import the rooms. `make reference` writes the file anew; a
test compares.
"""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from deploy.rooms import ROOMS, service_class
from services.chassis.errors import STATUS_BY_CODE, STATUS_BY_KIND
from services.chassis.service.serving import declarations_of

ROOT: Final = Path(__file__).parents[1]
TARGET: Final = ROOT / "gateway" / "procedures.json"
_CODE: Final = re.compile(r"[a-z]+\.[a-z_]+")


def written() -> str:
    """Return the text of the file."""
    return json.dumps({"statuses": statuses(), "procedures": procedures()}, indent=1, sort_keys=True) + "\n"


def procedures() -> dict[str, list[str]]:
    """Return room and procedure -> the codes that it is declared to raise."""
    return {
        f"{room}.{name}": sorted(declaration.raises)
        for room in ROOMS
        for name, declaration in declarations_of(service_class(room)).items()
    }


def statuses() -> dict[str, list[int]]:
    """Return code -> the statuses with which the code refuses somewhere."""
    found: dict[str, set[int]] = defaultdict(set)
    for folder in ("services", "gateway"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "tests" not in path.relative_to(ROOT).parts and path.name != "fake.py":
                for code, status in _refusals(ast.parse(path.read_text("utf-8"))):
                    found[code].add(status)
    return {code: sorted(known) for code, known in sorted(found.items())}


def _refusals(tree: ast.AST) -> list[tuple[str, int]]:
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        texts = [_text(argument) for argument in node.args[:2]]
        kind, code = (texts[0], texts[1]) if name == "ServiceError" and len(texts) == 2 else (name, texts[0])
        if kind in STATUS_BY_KIND and code and _CODE.fullmatch(code):
            found.append((code, STATUS_BY_CODE.get(code, STATUS_BY_KIND[kind])))
    return found


def _text(node: Any) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
