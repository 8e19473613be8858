"""Every sentence that the rooms and the door refuse with, read from their source: the tests hold the German against it.

A sentence is a template: what the raising code fills in stands as `{}`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

from gateway.sentences import FACT

_ROOT: Final = Path(__file__).parents[2]
_MAKERS: Final = frozenset(
    (
        *("invalid", "unauthenticated", "forbidden", "not_found", "conflict"),
        *("stale", "limited", "internal", "unavailable"),
    )
)
#: Errors and helpers whose text becomes the sentence of a refusal, and the place of the text among their arguments.
_OTHERS: Final[dict[str, int]] = {
    "FormatError": 1,
    "MalformedIdError": 0,
    "MalformedOrderNumberError": 0,
    "MistypedKeyError": 0,
    "RangeError": 1,
    "RuleViolationError": 1,
    "_Refusal": 0,
    "_wrong": 2,
    "malformed": 1,
}
#: Tables and constants whose texts go out: of actions, of what stays on a device, of certificates that ended.
_TABLES: Final = frozenset({"_MEANINGS", "WHY_NOT_RETURNED", "ENDED", "RECERTIFIED"})
#: Calls of `super().__init__` whose text is one.
_RULES: Final = ("services/devices/domain/",)
# Read by auditors and by the device's own client only, never by a caller of the interface.
_UNHEARD: Final = ("files/envelope.py", "files/text.py", "files/signing.py")


@dataclass(frozen=True)
class Said:
    """One sentence: where it is made, and its template."""

    place: str
    template: str


def all_sentences() -> list[Said]:
    """Return the sentences of all raising code, and of everything that a refusal takes its text from."""
    found: list[Said] = []
    for path in sorted([*(_ROOT / "services").rglob("*.py"), *(_ROOT / "gateway").glob("*.py")]):
        name = path.relative_to(_ROOT).as_posix()
        if "/tests/" not in name and not name.endswith(("/fake.py", *_UNHEARD)):
            found += sentences_of(name, path.read_text("utf-8"))
    return found


def sentences_of(name: str, source: str) -> list[Said]:
    """Return the sentences of one module; raises AssertionError where the text of a refusal cannot be read."""
    return list(_Module(name, source).sentences())


class _Module:
    def __init__(self, name: str, source: str) -> None:
        self.name, self.tree = name, ast.parse(source)
        self.functions = {node.name: node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef)}
        self.constants = {
            target.id: node.value
            for node in self.tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }

    def sentences(self) -> Iterator[Said]:
        for name in _TABLES & self.constants.keys():
            for node in ast.walk(self.constants[name]):
                if isinstance(node, ast.Constant) and " " in str(node.value):
                    yield Said(f"{self.name}:{node.lineno}", FACT.sub("{}", str(node.value)))
        for scope in ast.walk(self.tree):
            if not isinstance(scope, ast.FunctionDef | ast.Module):
                continue
            for node in _own_nodes(scope):
                if isinstance(node, ast.Call) and (text := self._text_of(node)) is not None:
                    yield from (Said(f"{self.name}:{node.lineno}", one) for one in self._templates(text, scope))

    def _text_of(self, call: ast.Call) -> ast.expr | None:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        for keyword in call.keywords:
            if keyword.arg == "detail" and name in _MAKERS:
                return keyword.value
        place = 1 if name in _MAKERS else _OTHERS.get(name)
        if name == "__init__" and self.name.startswith(_RULES):
            place = 0
        return call.args[place] if place is not None and len(call.args) > place else None

    def _templates(self, text: ast.expr, scope: ast.AST) -> Iterable[str]:
        """Return every form that a text can take."""
        match text:
            case ast.Constant(value=str(value)):
                return [value]
            case ast.JoinedStr(values=parts):
                return ["".join(one) for one in product(*(self._part(part, scope) for part in parts))]
            case ast.IfExp(body=body, orelse=other):
                return [*self._templates(body, scope), *self._templates(other, scope)]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                both = product(self._templates(left, scope), self._templates(right, scope))
                return ["".join(one) for one in both]
            case ast.Name(id=variable):
                values = self._assigned(variable, scope)
                if not values and variable in _arguments(scope):
                    # Who calls this is read itself: see _OTHERS.
                    return []
                assert values, f"{self.name}:{text.lineno} refuses with a text that cannot be read"
                return [one for value in values for one in self._templates(value, scope)]
            case ast.Call(func=ast.Name(id=function)) if function in self.functions:
                made = [node for node in _own_nodes(self.functions[function]) if isinstance(node, ast.Return)]
                return [one for node in made if node.value for one in self._templates(node.value, scope)]
            case ast.Call(func=ast.Name(id="str")) | ast.Attribute(attr="detail" | "text"):
                return []  # the text of an error that stands in _OTHERS
            case ast.Subscript(value=ast.Name(id="ERRORS" | "MEANINGS" | "DEVICE_ERRORS" | "texts")):
                return []  # the meaning of a code, or a table that is held elsewhere
        raise AssertionError(f"{self.name}:{text.lineno} refuses with a text that cannot be read: {ast.unparse(text)}")

    def _part(self, part: ast.expr, scope: ast.AST) -> Iterable[str]:
        """Return the forms of one part of an f-string: other texts that are filled in, else a fact."""
        if isinstance(part, ast.Constant):
            return [str(part.value)]
        assert isinstance(part, ast.FormattedValue)
        match part.value:
            case ast.IfExp() as choice:
                return self._templates(choice, scope)
            case ast.Name(id=variable):
                values = self._assigned(variable, scope)
                if values and all(isinstance(v, ast.Constant | ast.IfExp | ast.JoinedStr) for v in values):
                    return [one for value in values for one in self._templates(value, scope)]
        return ["{}"]

    def _assigned(self, variable: str, scope: ast.AST) -> list[ast.expr]:
        local = [
            node.value
            for node in _own_nodes(scope)
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == variable for t in node.targets)
        ]
        constant = self.constants.get(variable)
        return local or ([constant] if isinstance(constant, ast.Constant) and isinstance(constant.value, str) else [])


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(scope):
        if not isinstance(child, ast.FunctionDef):
            yield child
            yield from _own_nodes(child)


def _arguments(scope: ast.AST) -> set[str]:
    if not isinstance(scope, ast.FunctionDef):
        return set()
    return {one.arg for one in (*scope.args.args, *scope.args.kwonlyargs)}
