"""What happens to every line of a request to add devices (DEV-2, DEV-4, DEV-5, L17)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from services.devices.domain.hardware_ids import MalformedIdError, canonical_hardware_id, shown_input

ALREADY_IN_COMPANY: Final = "devices.already_in_company"
NOT_FOUND: Final = "devices.not_found"
MALFORMED: Final = "devices.malformed_id"
REPEATED: Final = "devices.repeated_in_request"
IN_OTHER_COMPANY: Final = "devices.in_other_company"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the input after reading: its canonical id, or the error found without asking the database.

    Args:
        shown: what was typed, safe to show.
        hardware_id: canonical id; None where it is malformed.
        code: error code, None where the line is good so far.
        detail: a sentence of its own for this error; empty where the code's general text is enough.
    """

    shown: str
    hardware_id: str | None
    code: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a line: `error` stops it, `warning` needs a yes (`accepted`), without either it is good."""

    line: Line
    type: str | None
    error: str | None = None
    warning: str | None = None
    accepted: bool = False

    @property
    def good(self) -> bool:
        """Whether the device can be added now: no error, and a yes to the warning if there is one."""
        return self.error is None and (self.warning is None or self.accepted)

    def rehearsed_result(self) -> str:
        """Return `error`, `warning` or `ok`, what a rehearsal answers."""
        return "error" if self.error else "warning" if self.warning else "ok"


def read_lines(inputs: Iterable[str]) -> list[Line]:
    """Read every line; malformed ones and later repetitions carry their error, none stops the others."""
    lines: list[Line] = []
    seen: set[str] = set()
    for text in inputs:
        try:
            hardware_id = canonical_hardware_id(text)
        except MalformedIdError as error:
            lines.append(Line(shown_input(text), None, MALFORMED, str(error)))
            continue
        code = REPEATED if hardware_id in seen else None
        seen.add(hardware_id)
        lines.append(Line(shown_input(text), hardware_id, code))
    return lines


def asked_ids(lines: Iterable[Line]) -> list[str]:
    """Return the distinct canonical ids that the database has to be asked about, in order."""
    return [line.hardware_id for line in lines if line.hardware_id is not None and line.code is None]


def judge(
    line: Line,
    types: Mapping[str, str],
    own: Collection[str],
    elsewhere: Collection[str],
    accepted: Collection[tuple[str, str]],
) -> Verdict:
    """Decide about one line.

    Args:
        line: as read.
        types: device type by hardware id, for the ids that are in the vendor's production data.
        own: ids that the company has already.
        elsewhere: ids that another company has.
        accepted: (hardware id, warning code) pairs with an explicit yes.
    """
    hardware_id = line.hardware_id
    if hardware_id is None or line.code is not None:
        return Verdict(line, types.get(hardware_id or ""), error=line.code)
    if hardware_id not in types:
        return Verdict(line, None, error=NOT_FOUND)
    if hardware_id in own:
        return Verdict(line, types[hardware_id], error=ALREADY_IN_COMPANY)
    if hardware_id in elsewhere:
        yes = (hardware_id, IN_OTHER_COMPANY) in accepted
        return Verdict(line, types[hardware_id], warning=IN_OTHER_COMPANY, accepted=yes)
    return Verdict(line, types[hardware_id])


def summarize(results: Iterable[str]) -> dict[str, int]:
    """Count the results by their names."""
    counts: dict[str, int] = {}
    for result in results:
        counts[result] = counts.get(result, 0) + 1
    return counts
