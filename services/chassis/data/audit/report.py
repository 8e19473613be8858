"""A room's report: its own checks together with those that are the same for every room."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.audit.checks import (
    UNREADABLE,
    Check,
    Flaws,
    Log,
    Report,
    check_followed,
    check_outbox,
    check_parked,
    check_sent,
)
from services.chassis.data.audit.places import check_epochs, check_not_set_back
from services.chassis.data.place import read_places


def outbox_report(connection: Connection, room: str, *makers: Callable[[], Check | list[Check]]) -> Report:
    """Report a room's checks together with those that are the same for every room.

    Args:
        connection: of a snapshot.
        room: whose tables are read.
        makers: make its checks; one that garbage stops is a finding, and the others are made all the same.
    """
    checks: list[Check] = []
    logs: list[Log] = []

    def of_log() -> list[Check]:
        log, gaps, unreadable = check_outbox(connection, room)
        logs.append(log)
        return [gaps, unreadable]

    flaws = Flaws()
    always = (check_sent, check_parked, check_followed, check_epochs, check_not_set_back)
    common = [partial(check, connection) for check in always]
    all_makers: list[Callable[[], Check | list[Check]]] = [*makers, of_log, *common]
    for maker in all_makers:
        name = str(getattr(maker, "func", maker).__name__).strip("_").replace("_", " ")
        try:
            made = maker()
        except (*UNREADABLE, sa.exc.OperationalError) as error:
            flaws.add(f"{name}: a row cannot be read ({type(error).__name__}); see the check 'every row can be read'")
            continue
        checks += [made] if isinstance(made, Check) else made
    made_all = Check("every check could be made", len(checks), flaws.told())
    return Report(room, (*checks, made_all), logs[0] if logs else None, read_places(connection))
