"""Add devices to a project: every line gets its result, and none stops the others (DEV-2 to DEV-5, L17)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from services.accounts.api import SCOPE_READ, SCOPE_WRITE, Actor, needs
from services.chassis.answers import Answer
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import invalid
from services.chassis.ids import new_id
from services.chassis.service.declare import command, running
from services.chassis.service.running import run
from services.devices import api, store
from services.devices.access import project_access, refuse_closed
from services.devices.api import CLAIMED, ERRORS, MAXIMUM_AT_ONCE, ORDER_NUMBER, PROVEN
from services.devices.commands import throttles
from services.devices.commands.lookups import find_order, malformed, read_hardware_id
from services.devices.commands.possession import prove
from services.devices.domain.adding import (
    ALREADY_IN_COMPANY,
    Line,
    Verdict,
    asked_ids,
    judge,
    read_lines,
    summarize,
)
from services.devices.domain.hardware_ids import RangeError, TooManyError, expand_range, split_text
from services.devices.store import Holder
from services.projects.api import ADD, OWN, ProjectAccess, ProjectCopy, ProjectsClient


@dataclass(frozen=True, slots=True)
class _Task:
    """What one request asks, ready to be decided in a transaction."""

    actor: Actor
    access: ProjectAccess
    lines: list[Line]
    accepted: frozenset[tuple[str, str]]
    order_number: str | None


@command(
    request=api.AddDevicesRequest,
    answer=api.AddDevicesAnswer,
    needs=(needs.LOGIN,),
    rehearsable=True,
    raises=(
        *needs.WRITE.raises,
        "projects.not_found",
        "access.power_needed",
        "devices.project_closed",
        "devices.too_many",
        "devices.range_invalid",
        "devices.malformed_id",
        "devices.malformed_order_number",
        "devices.order_not_found",
        "devices.throttled",
    ),
    emits=("device_added", "device_added_elsewhere", "device_possession_proven"),
)
def add_devices(database: Database, call: Call, request: Mapping[str, Any], projects: ProjectsClient) -> Answer:
    """Add devices by list, range, text or order number, or rehearse it; answers a result per line (DEV-2, DEV-4)."""
    actor = Actor.of(call)
    actor.require_scope(SCOPE_READ if request["dry_run"] else SCOPE_WRITE)
    access = project_access(database, call, actor, request["project_id"], projects)
    refuse_closed(access.project.state)
    access.require(ADD)
    accepted = _read_accepted(request["accept_warnings"])
    inputs, order_number = _read_inputs(database, actor, request)
    task = _Task(actor, access, read_lines(inputs), accepted, order_number)
    if request["dry_run"]:
        # Not rolled back: what is looked up about devices of others counts in a rehearsal too (S9).
        return database.write(lambda unit: running().dump(_rehearse(unit, task)), call=call)
    return run(database, call, request, lambda unit: _add(unit, task))


def _read_inputs(database: Database, actor: Actor, request: Mapping[str, Any]) -> tuple[list[str], str | None]:
    try:
        if "range" in request:
            return expand_range(request["range"]["first"], request["range"]["last"]), None
        if "text" in request:
            return split_text(request["text"]), None
        if "hardware_ids" in request:
            inputs: list[str] = request["hardware_ids"]
            if len(inputs) > MAXIMUM_AT_ONCE:
                raise TooManyError(len(inputs), MAXIMUM_AT_ONCE)
            return inputs, None
    except TooManyError as error:
        raise invalid("devices.too_many", str(error), count=error.count, limit=error.limit) from error
    except RangeError as error:
        raise malformed(f"/range/{error.end}", str(error), "devices.range_invalid") from error
    # An order is not bound to the limit: its devices were counted when staff entered it.
    number = find_order(database, actor, request["order_number"])
    rows = database.read(lambda connection: store.order_devices(connection, number))
    return [row.hardware_id for row in rows], number


def _read_accepted(accepted: list[dict[str, str]]) -> frozenset[tuple[str, str]]:
    return frozenset(
        (read_hardware_id(item["hardware_id"], f"/accept_warnings/{place}/hardware_id"), item["code"])
        for place, item in enumerate(accepted)
    )


def _rehearse(unit: Unit, task: _Task) -> Mapping[str, object]:
    verdicts, _ = _decide(unit, task, lock=False)
    return _answer([(verdict, verdict.rehearsed_result(), None) for verdict in verdicts])


def _add(unit: Unit, task: _Task) -> Mapping[str, object]:
    access = task.access
    store.keep_project(unit.connection, access.project)
    project = store.lock_projects(unit.connection, [access.project.id])[access.project.id]
    refuse_closed(project.state)
    verdicts, holders = _decide(unit, task, lock=True)
    results: list[tuple[Verdict, str, str | None]] = []
    for verdict in verdicts:
        if not verdict.good:
            results.append((verdict, "refused", None))
            if verdict.error == ALREADY_IN_COMPANY and task.order_number is not None:
                _prove_own(unit, task, str(verdict.line.hardware_id))
            continue
        device_id = _insert(unit, task, project, verdict)
        if device_id is None:
            # Somebody of the company was quicker; the database's own rule has noticed.
            results.append((replace(verdict, error=ALREADY_IN_COMPANY), "refused", None))
            continue
        _tell_others(unit, verdict, holders.get(verdict.line.hardware_id or "", ()))
        results.append((verdict, "added", device_id))
    return _answer(results)


def _decide(unit: Unit, task: _Task, *, lock: bool) -> tuple[list[Verdict], dict[str, list[Holder]]]:
    """Return the verdict on each line, and the records of other companies by hardware id."""
    asked = asked_ids(task.lines)
    user_id, connection = task.actor.user_id, unit.connection
    # Whoever knows an order's number may learn about its devices; only guessing ids is counted (S9).
    counted = task.order_number is None
    new = throttles.check(connection, user_id, throttles.HELD_BY_OTHERS, asked, unit.now) if counted else set()
    produced = store.lock_production(connection, asked) if lock else store.find_productions(connection, asked)
    own: set[str] = set()
    others: dict[str, list[Holder]] = {}
    for holder in store.holders(connection, produced.keys()):
        if holder.company_id in task.access.group:
            own.add(holder.hardware_id)
        else:
            others.setdefault(holder.hardware_id, []).append(holder)
    shown = (others.keys() - own) & new
    if counted:
        throttles.record(connection, user_id, throttles.HELD_BY_OTHERS, shown, unit.now)
    types = {hardware_id: row.type for hardware_id, row in produced.items()}
    return [judge(line, types, own, others.keys(), task.accepted) for line in task.lines], others


def _prove_own(unit: Unit, task: _Task, hardware_id: str) -> None:
    """Prove the record that the company has; a guest, or a token of one project, proves in this project only."""
    access = task.access
    whole = access.relation == OWN and task.actor.project_id is None
    for row in store.records_of(unit.connection, hardware_id):
        if row.company_id in access.group and (whole or row.project_id == access.project.id):
            locked = store.find_record(unit.connection, row.id, lock=True)
            if locked is not None:
                prove(unit, locked, ORDER_NUMBER, order_number=task.order_number)


def _insert(unit: Unit, task: _Task, project: ProjectCopy, verdict: Verdict) -> str | None:
    """Store and tell one added device; returns its new id, or None where the company has it already."""
    hardware_id = str(verdict.line.hardware_id)
    device_id = new_id()
    record = {
        "id": device_id,
        "company_id": project.company_id,
        "project_id": project.id,
        "hardware_id": hardware_id,
        "order_number": task.order_number,
        # The number is on the papers and not on the box: who has it got the device (DEV-15).
        "proven_by": ORDER_NUMBER if task.order_number is not None else None,
        "added_at": unit.now,
    }
    if not store.insert_record(unit.connection, record):
        return None
    unit.emit(
        "device_added",
        subject=device_id,
        data={
            "hardware_id": hardware_id,
            "type": verdict.type,
            "project_name": project.name,
            "accepted_warning": verdict.warning,
            "possession": PROVEN if task.order_number is not None else CLAIMED,
        },
        company_id=project.company_id,
        project_id=project.id,
        device_id=device_id,
        hardware_id=hardware_id,
    )
    return device_id


def _tell_others(unit: Unit, verdict: Verdict, holders: Collection[Holder]) -> None:
    for holder in holders:
        unit.emit(
            "device_added_elsewhere",
            subject=holder.id,
            data={"hardware_id": holder.hardware_id, "type": verdict.type},
            company_id=holder.company_id,
            project_id=holder.project_id,
            device_id=holder.id,
            hardware_id=holder.hardware_id,
            anonymous=True,
        )


def _answer(results: list[tuple[Verdict, str, str | None]]) -> Mapping[str, object]:
    items = []
    for verdict, result, device_id in results:
        code = None if result in ("added", "ok") else verdict.error or verdict.warning
        items.append(
            {
                "input": verdict.line.shown,
                "hardware_id": verdict.line.hardware_id,
                "type": verdict.type,
                "result": result,
                "code": code,
                "detail": (verdict.line.detail or ERRORS[code]) if code else None,
                "device_id": device_id,
            }
        )
    return {"summary": summarize(result for _, result, _ in results), "items": items}
