"""The house rules that linters do not know: caps, purity, the call graph, and contracts that tell the truth.

Import rules between rooms are import-linter's; its contracts stand in pyproject.toml.
"""

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("accounts", "projects", "devices", "licensing", "history")
FURNITURE = ("api", "domain", "models", "store", "commands", "queries", "service", "fake")
PRODUCTION = ("services", "gateway", "portal", "clients", "deploy")
# Calls go one way (R14); a room may call those that stand after it.
ORDER = ("licensing", "devices", "projects", "accounts")
# Anyone may call these two: their handlers call nobody and have workers of their own (rule R14).
LEAVES = {"read_events"}
# What everybody may read (LIC-11, LIC-15).
PUBLISHED = {("licensing", "signing_keys"), ("licensing", "device_ca"), ("licensing", "device_crl")}
# Methods of accounts that answer to nobody's token: the gateway alone says from which address they come (decision 14).
WITHOUT_LOGIN = (
    "confirm_password_reset", "confirm_registration", "create_device_session", "create_session",
    "exchange_token", "list_revocations", "refresh_session", "register", "request_password_reset",
    "resend_registration", "undo_email_change",
)  # fmt: skip
# How often a room's store and the modules beside it say `Any`; it only falls (issue 7, section 2).
ANY_IN_STORES = {"accounts": 0, "projects": 1, "devices": 9, "licensing": 0, "history": 0}
# Codes of the published contract whose feature is still to come.
RESERVED = {"devices.already_imported"}
CODE = re.compile(r"\b(?:accounts|projects|devices|licensing|history)\.[a-z_]+\b")
# Modules a pure rule cannot need: they read a clock, a file, the network or the environment.
IMPURE = {"os", "io", "pathlib", "socket", "subprocess", "time", "logging", "threading", "http"}


def modules(*folders: str, tests: bool = False) -> list[Path]:
    """Return the Python files under these folders; migrations are frozen and therefore left out."""
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if "versions" not in path.parts and (tests or "tests" not in path.parts)]


def none_of(findings: list[str]) -> None:
    """Fail with one finding a line."""
    assert not findings, "\n".join(["", *sorted(findings)])


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def room_modules(room: str, name: str) -> list[Path]:
    """Return the files of one piece of furniture, be it a module or a package."""
    folder = ROOT / "services" / room
    return [path for path in (folder / f"{name}.py",) if path.exists()] + sorted((folder / name).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Yield the full names of everything a file imports at any level."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def contract(room: str) -> Any:
    return importlib.import_module(f"services.{room}.api")


def service_class(room: str) -> Any:
    module = importlib.import_module(f"services.{room}.service")
    classes = [
        value for value in vars(module).values() if inspect.isclass(value) and value.__module__ == module.__name__
    ]
    return next(value for value in classes if getattr(value, "name", None) == room)


def entrypoint_docstrings(room: str) -> dict[str, str]:
    """Return the docstring of every method of the service class that is an RPC."""
    methods = inspect.getmembers(service_class(room), inspect.isfunction)
    return {
        name: inspect.getdoc(method) or ""
        for name, method in methods
        if any(type(entrypoint).__name__ == "Rpc" for entrypoint in getattr(method, "nameko_entrypoints", ()))
    }


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_have_the_same_furniture(room: str) -> None:
    missing = [name for name in FURNITURE if not room_modules(room, name)]
    folder = ROOT / "services" / room
    missing += [name for name in ("README.md", "migrations", "tests") if not (folder / name).exists()]
    none_of(missing)


def test_no_module_outgrows_400_lines_and_no_function_60() -> None:
    too_long = []
    for path in modules(*PRODUCTION):
        if (lines := len(path.read_text().splitlines())) > 400:
            too_long.append(f"{path.relative_to(ROOT)}: {lines} lines, make it a package")
        too_long += [
            f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} is longer than 60 lines"
            for node in ast.walk(tree(path))
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 60
        ]
    none_of(too_long)


def test_chassis_stays_small_and_knows_nothing_of_the_trade() -> None:
    nouns = {"license", "ledger", "balance", "device", "company", "project", "activation", "warranty", "customer"}
    found = []
    for path in modules("services/chassis"):
        if (lines := len(path.read_text().splitlines())) > 300:
            found.append(f"{path.name}: {lines} lines")
        names = [node.name for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        for name in [path.stem, *names]:
            words = {word.lower().removesuffix("s") for word in re.findall(r"[A-Z]?[a-z]+", name)}
            found += [f"{path.name}: {name} is named for the trade" for _ in words & nouns]
    none_of(found)


@pytest.mark.parametrize("room", ROOMS)
def test_domain_needs_nothing_but_the_standard_library_and_touches_nothing(room: str) -> None:
    found = []
    for path in room_modules(room, "domain"):
        for name in imported(path):
            root = name.partition(".")[0]
            own = name.startswith(f"services.{room}.domain")
            if not own and (root not in sys.stdlib_module_names or root in IMPURE):
                found.append(f"{path.relative_to(ROOT)} imports {name}")
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called in {"now", "utcnow", "today", "open", "uuid1", "uuid4"}:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno} calls {called}")
    none_of(found)


@pytest.mark.parametrize("room", ROOMS)
def test_contract_imports_schemas_errors_and_own_rules_only(room: str) -> None:
    chassis = ("answers", "errors", "context", "fields", "texts")
    allowed = ("marshmallow", *(f"services.chassis.{name}" for name in chassis))
    # Of the rooms below it may name what they publish, such as who asks.
    below = ORDER[ORDER.index(room) + 1 :] if room in ORDER else ORDER
    own = (f"services.{room}.api", f"services.{room}.domain", *(f"services.{other}.api" for other in below))
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in room_modules(room, "api")
        for name in imported(path)
        if name.partition(".")[0] not in sys.stdlib_module_names and not name.startswith((*allowed, *own))
    ]
    none_of(found)


def test_calls_between_rooms_go_one_way() -> None:
    from services.chassis.bus.rpc import Client

    graph = {
        room: {value.service for value in vars(service_class(room)).values() if isinstance(value, Client)}
        for room in ROOMS
    }
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"services call each other in a circle: {' > '.join(error.args[1])}")
    assert graph["history"] == set()
    for position, room in enumerate(ORDER):
        assert graph[room] <= set(ORDER[position + 1 :]), f"{room} calls upwards"


def test_what_a_caller_may_do_in_a_project_is_decided_in_one_place() -> None:
    """Devices and licensing had each their own reading of copy, token and state (issue 7, section 3)."""
    refusing = re.compile(r'forbidden\(\s*"access\.power_needed"|not_found\(\s*"projects\.not_found"')
    # Choosing a project is none of the powers; the gateway refuses by the table alone, before it knows the project.
    homes = {"services/projects/api/access.py", "services/projects/commands.py", "gateway/authentication.py"}
    found = {
        path.relative_to(ROOT).as_posix()
        for path in modules("services", "gateway")
        if refusing.search(path.read_text())
    }
    none_of([f"{name} refuses by itself; services.projects.api.access does it" for name in found - homes])
    assert "services/projects/api/access.py" in found


@pytest.mark.parametrize("room", ROOMS)
def test_entrypoints_tell_what_they_raise_and_emit(room: str) -> None:
    from services.chassis.errors import ERRORS as CHASSIS_ERRORS
    from services.chassis.service.serving import declarations_of

    errors = set(CHASSIS_ERRORS).union(*(contract(other).ERRORS for other in ROOMS))
    events = set(getattr(contract(room), "EVENTS", {}))
    declared = declarations_of(service_class(room))
    wrong = []
    for name, text in entrypoint_docstrings(room).items():
        if not text:
            wrong.append(f"{name}: no docstring")
        if re.search("^(Raises|Emits):", text, re.MULTILINE):
            wrong.append(f"{name}: the docstring repeats what the declaration says")
        declaration = declared[name]
        wrong += [f"{name}: raises unknown {code}" for code in declaration.raises if code not in errors]
        wrong += [f"{name}: emits unknown {event}" for event in declaration.emits if event not in events]
    none_of(wrong)


@pytest.mark.parametrize("room", ROOMS)
def test_every_error_code_used_is_declared_and_every_declared_one_used(room: str) -> None:
    declared = contract(room).ERRORS
    assert [code for code, meaning in declared.items() if not code.startswith(f"{room}.") or len(meaning) < 10] == []
    files = [path for path in modules(f"services/{room}") if "api" not in path.relative_to(ROOT).parts[2].split(".")]
    used = {
        node.value
        for path in [*files, *room_modules(room, "api")]
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(f"{room}.")
        if CODE.fullmatch(node.value) and not node.value.endswith(".jsonl") and id(node) not in _error_keys(path)
    }
    # A code may be put together: f"licensing.request_{reason}" uses every code that starts like this.
    prefixes = tuple(code for code in used if code.endswith("_"))
    unused = {code for code in declared if code not in used and not (prefixes and code.startswith(prefixes))}
    none_of(
        [f"{code} is used and not declared in ERRORS" for code in used - set(declared) - set(prefixes)]
        + [f"{code} is declared in ERRORS and never used" for code in unused - RESERVED]
    )


@cache
def _error_keys(path: Path) -> frozenset[int]:
    """Return the ids of the nodes that are keys of a dictionary named ERRORS."""
    found: set[int] = set()
    for node in tree(path).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = getattr(node, "value", None)
        if isinstance(value, ast.Dict) and any(getattr(target, "id", "") == "ERRORS" for target in targets):
            found.update(id(key) for key in value.keys)
    return frozenset(found)


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "history"])
def test_every_event_emitted_is_declared_and_every_declared_one_named(room: str) -> None:
    declared = set(contract(room).EVENTS)
    emitted: set[str] = set()
    named: set[str] = set()
    for path in modules(f"services/{room}"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "api" not in path.parts[-2:]:
                named.add(node.value)
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "emit" and node.args:
                words = (part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant))
                emitted |= {word for word in words if isinstance(word, str)}
    none_of(
        [f"{event} is emitted and not declared in EVENTS" for event in emitted - declared]
        + [f"{event} is declared in EVENTS and never emitted" for event in declared - named]
    )


@pytest.mark.parametrize("room", ROOMS)
def test_stores_return_rows_with_types(room: str) -> None:
    """A row of `Any` lets a wrong column through to the running system; dataclasses let mypy see it."""
    folder = ROOT / "services" / room
    paths = [*room_modules(room, "store"), *sorted(folder.glob("store_*.py"))]
    said = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in paths
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Name) and node.id in {"Any", "AnyRow"}
    ]
    ceiling = ANY_IN_STORES[room]
    assert len(said) <= ceiling, "\n".join([f"{len(said)} instead of {ceiling}: give the row a type", *said])
    assert len(said) == ceiling, f"only {len(said)} are left: write that into ANY_IN_STORES"


def test_an_event_that_several_rooms_tell_has_one_schema() -> None:
    schemas: dict[str, set[Any]] = {}
    for room in ROOMS:
        for event, schema in getattr(contract(room), "EVENTS", {}).items():
            schemas.setdefault(event, set()).add(schema)
    none_of([f"{event} has {len(found)} schemas" for event, found in schemas.items() if len(found) > 1])


def test_private_files_are_written_in_one_way() -> None:
    """Mode 0600 from the first byte on, whole or not at all, and on the disk (`write_private`)."""
    # One file grows and one is only locked; the device's client shares no code with the services.
    others = {"services/history/heads.py", "deploy/alone.py", "clients/device/state.py"}
    opening = re.compile(r"os\.open\([^\n]*0o600")
    found = {path.relative_to(ROOT).as_posix() for path in modules(*PRODUCTION) if opening.search(path.read_text())}
    assert found - others == {"services/chassis/keys/keyfiles.py"}


def test_every_check_of_the_audits_has_a_test_in_which_the_data_were_tampered_with() -> None:
    """Issue 6.4: five checks were switched off one by one, and nobody's test missed them."""
    declared: set[str] = set()
    for path in modules("services"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Check" and len(node.args) > 2:
                name = next(part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant))
                declared.add(str(name))
    tampered: set[str] = set()
    for path in modules("services", "deploy", tests=True):
        if "tests" in path.parts and re.match("(test_)?(audit|tamper)", path.name):
            words = (node.value for node in ast.walk(tree(path)) if isinstance(node, ast.Constant))
            tampered |= {word for word in words if isinstance(word, str)}
    assert len(declared) > 35
    none_of([f"nobody tampers for: {name}" for name in declared if not any(name in t for t in tampered)])


def test_two_runs_on_one_machine_never_meet() -> None:
    fixed = re.compile(r"(?:localhost|127\.0\.0\.1):(?:5672|5432|8000|8001|8080)\b")
    # The tutorial's page has the default addresses; its test replaces them.
    tests = [path for path in sorted((ROOT / "tests").glob("*/test_*.py")) if path.stem != "test_tutorial"]
    none_of([f"{path.relative_to(ROOT)} has a fixed port" for path in tests if fixed.search(path.read_text())])


def test_who_listens_to_a_room_may_read_its_log() -> None:
    """A listener that is no reader would never get back what it missed (rules R15, S26)."""
    listeners = {
        (match[1], path.parent.name)
        for path in modules("services")
        if path.parent.name in ROOMS and path.name.startswith("service") and "tests" not in path.parts
        for match in re.finditer(r'@subscribe\("(\w+)"\)', path.read_text())
    }
    readers = {
        (path.parent.name, reader)
        for path in modules("services")
        if path.parent.name in ROOMS and path.name.startswith("service") and "tests" not in path.parts
        for match in re.finditer(r"EventsLeaf\(([^)]*)\)", path.read_text())
        for reader in re.findall(r"\w+", match[1])
    }
    none_of([f"{reader} listens to {room} and may not read its log" for room, reader in listeners - readers])
    assert readers - listeners == {("accounts", "gateway")}


def test_nobody_but_the_gateway_calls_without_a_login() -> None:
    """On the bus anybody can call; what needs no login names who may, and a claim names who vouches for it (S26)."""
    found = {
        (room, name): (entrypoint.public, tuple(entrypoint.callers), tuple(entrypoint.vouched_by))
        for room in ROOMS
        for name, method in inspect.getmembers(service_class(room), inspect.isfunction)
        for entrypoint in getattr(method, "nameko_entrypoints", ())
        if type(entrypoint).__name__ == "Rpc"
    }
    assert {method for method, (public, _, _) in found.items() if public} == PUBLISHED
    assert {method: callers for method, (_, callers, _) in found.items() if callers} == dict.fromkeys(
        (("accounts", name) for name in WITHOUT_LOGIN), ("gateway",)
    )
    assert {method: vouched for method, (_, _, vouched) in found.items() if vouched} == {
        ("devices", "confirm_possession"): ("licensing",)
    }
