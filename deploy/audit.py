"""`make audit`: every room audits itself, then history is compared with what every room told it (rules L14, L15).

Nobody reads another room's tables: rooms answer with reports and digests, and this command compares those. Exit code 0
means clean, 1 means that something is wrong, 2 that the audit could not be made.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial

from deploy.audit_copies import check_copies
from deploy.audit_lines import name_differences
from deploy.audit_ready import AuditError, require_auditable
from deploy.installed import installed_settings, unreachable
from deploy.rooms import ROOMS
from services.chassis.data.audit.checks import Check, Log, Report
from services.chassis.data.audit.places import LogEnd, check_places, read_end
from services.chassis.data.audit.report import outbox_report
from services.chassis.data.db import Database
from services.chassis.errors import ServiceError
from services.chassis.keys.keystore import KeyStoreError
from services.chassis.settings import Settings, SettingsError
from services.history import last_audit
from services.history.audit import behind, compare

_CATCH_UP_SECONDS = 20.0
_PAUSE = 0.5
_ACT = "docs/how-to/act-on-audit-findings.md"


def room_report(room: str, settings: Settings) -> Report:
    """Let a room audit itself; a room without an audit of its own gets what is the same for all."""
    name = f"services.{room}.audit"
    if importlib.util.find_spec(name) is not None:
        report: Report = importlib.import_module(name).audit(settings)
        return report
    database = Database.from_settings(settings, room, pool_size=1)
    try:
        return database.read(lambda connection: outbox_report(connection, room), snapshot=True)
    finally:
        database.close()


def audit(settings: Settings, *, patience: float | None = None) -> list[Report]:
    """Audit everything and return the reports.

    Args:
        settings: where the databases and the data folder are.
        patience: seconds to wait for each room of a running installation to catch up; 20 when absent.

    Raises:
        AuditError: a database or a key is missing, does not answer, or is of another version.
    """
    require_auditable(settings, ROOMS)
    seconds = _CATCH_UP_SECONDS if patience is None else patience
    # Each room has its own time: whoever comes last must not be looked at only once.
    reports = [_settled_report(room, settings, time.monotonic() + seconds) for room in ROOMS]
    logs = [report.log for report in reports if report.log is not None and report.room != "history"]
    _wait_for_history(settings, logs, time.monotonic() + seconds)
    compared = [
        name_differences(settings, compare(settings, logs), logs),
        Report("all", _place_checks(settings, reports)),
    ]
    return [*reports, *compared, *check_copies(settings, ROOMS, seconds)]


def _place_checks(settings: Settings, reports: Sequence[Report]) -> tuple[Check, ...]:
    """Ask every source whether its log has what the other rooms have applied last (rule R25)."""
    with ExitStack() as opened:
        databases = {room: Database.from_settings(settings, room, pool_size=1) for room in ROOMS}
        for database in databases.values():
            opened.callback(database.close)

        def end(database: Database, sequence: int) -> LogEnd:
            return database.read(partial(read_end, sequence=sequence))

        sources = {room: partial(end, database) for room, database in databases.items()}
        return tuple(check_places(report.room, report.places, sources) for report in reports)


def _settled_report(room: str, settings: Settings, deadline: float) -> Report:
    """Let a room audit itself, again while something is under way in a running installation.

    In a busy one there always is: only what stays the same in all looks does not go away by itself.
    """
    report = room_report(room, settings)
    while report.is_behind and time.monotonic() < deadline:
        time.sleep(_PAUSE)
        report = room_report(room, settings).after(report)
    return report


def _wait_for_history(settings: Settings, logs: Sequence[Log], deadline: float) -> None:
    lag = behind(settings, logs)
    while lag and time.monotonic() < deadline:
        time.sleep(_PAUSE)
        lag = behind(settings, logs)


def render(reports: Iterable[Report]) -> str:
    """Write the reports for a person: a line per check, each flaw under its check, a last line that says all."""
    lines, checks, flaws = [], 0, 0
    for report in reports:
        for check in report.checks:
            checks += 1
            flaws += len(check.flaws)
            verdict = "ok" if not check.flaws else "WRONG"
            digest = f"  {check.digest[:16]}" if check.digest else ""
            lines.append(f"{report.room:<10} {check.name:<40} {check.checked:>9}  {verdict:<5}{digest}".rstrip())
            lines += [f"           - {report.room}, {check.name}: {flaw}" for flaw in check.flaws]
    wrong = f"NOT in order: {flaws} flaws in {checks} checks; what to do: see {_ACT}"
    lines.append(wrong if flaws else f"clean: {checks} checks, nothing wrong")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] = ()) -> int:
    """Audit the installation that the settings lead to, as the arguments say; exit code 1 for flaws, 2 if it cannot."""
    parser = argparse.ArgumentParser("audit", description="Re-add the ledger and check everything that can be checked.")
    parser.add_argument("--json", action="store_true", help="print the reports as JSON")
    parser.add_argument(
        "--patience",
        type=float,
        metavar="SECONDS",
        help="time for each room of a busy installation to catch up",
    )
    given = parser.parse_args(arguments)
    try:
        settings = installed_settings()
        reports = audit(settings, patience=given.patience)
        checks = [check for report in reports for check in report.checks]
        last_audit.note(settings, checks=len(checks), flaws=sum(len(check.flaws) for check in checks))
    except (SettingsError, ServiceError, AuditError, KeyStoreError, OSError) as error:
        is_away = isinstance(error, ServiceError) and error.code == "service.unavailable"
        sys.stderr.write(f"The audit could not be made: {unreachable(installed_settings()) if is_away else error}\n")
        return 2
    sys.stdout.write(json.dumps([asdict(report) for report in reports]) + "\n" if given.json else render(reports))
    return 0 if all(report.clean for report in reports) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
