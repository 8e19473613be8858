"""The part of licensing's audit about when: a file holds nothing that came to its device only afterwards (L18).

What was told of an earlier booking has the lower number, whatever the clocks said.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from services.chassis.data.audit.checks import Check, Flaws, events, stream
from services.chassis.data.audit.sorted import Scratch, in_order, merged
from services.licensing.models import LicenseFileLine

_ISSUED: Final = "license_file_issued"
_BEGINS: Final = ("licenses_assigned", "floating_license_set")
_ENDS: Final = ("licenses_taken_back", "floating_license_removed")


def check_filed(connection: Connection) -> Check:
    """Check that every line of a file was told as assigned before the file was, and not as ended before it.

    Args:
        connection: of a snapshot.
    """
    flaws, checked, inside = Flaws(), 0, LicenseFileLine
    with Scratch() as issued, Scratch() as told, Scratch() as filed:
        for place, (row, event) in enumerate(events(connection, (_ISSUED, *_BEGINS, *_ENDS))):
            with flaws.reading(f"event {row.id}, {event.type}"):
                if event.type == _ISSUED:
                    issued.add(event.data["serial"], str(place))
                    continue
                for line in event.data["licenses"]:
                    if line["id"] is not None:
                        told.add(line["id"], f"{'ended' if event.type in _ENDS else 'assigned'} {place}")
        ordered = sa.select(inside.serial, inside.line_id).order_by(in_order(connection, inside.serial))
        rows = ((row.serial, row.line_id) for row in stream(connection, ordered))
        for serial, line_ids, places in merged(rows, issued.items()):
            # One that was never told is found by another check.
            for line_id in line_ids if places else ():
                filed.add(line_id, f"{places[0]} {serial}")
        for line_id, files, facts in merged(filed.items(), told.items()):
            moments = {what: int(place) for what, place in (fact.split() for fact in reversed(facts))}
            for at, serial in (file.split() for file in files):
                checked += 1
                if int(at) < moments.get("assigned", 0):
                    flaws.add(f"file {serial} holds the line {line_id}, which was assigned only afterwards")
                if int(at) > moments.get("ended", int(at)):
                    flaws.add(f"file {serial} holds the line {line_id}, which had ended before")
    return Check("device lines match their files in time", checked, flaws.told())
