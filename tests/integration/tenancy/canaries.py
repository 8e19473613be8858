"""Invariant I14: nothing that only one company knows appears in an answer to another, be it a body or a header.

Every answer of the matrix is looked at when it comes, and all of them again at the end, for the ids of that moment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from tests.integration.http_client import Answer

if TYPE_CHECKING:
    from tests.integration.tenancy.callers import Role

ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What a person must not see, by groups of canaries. Who works together in a project knows each other's names and
# what is in that project, never the addresses and nothing else of the other company (mission, table of powers).
_OWNER: Final = ("owner's names", "owner's project", "owner's second project", "owner's own")
_GUEST: Final = ("guest's names", "guest's own")
_OTHERS: Final = ("neighbor's names", "neighbor's own")
_STRANGER: Final = ("stranger's names", "stranger's own")
UNSEEN: Final[dict[str, tuple[str, ...]]] = {
    "owner": ("guest's own", *_STRANGER, *_OTHERS),
    "member": ("guest's own", *_STRANGER, *_OTHERS),
    "guest": ("owner's own", "owner's second project", *_STRANGER, *_OTHERS),
    "stranger": (*_OWNER, *_GUEST, *_OTHERS),
    "loner": (*_OWNER, *_GUEST, *_STRANGER, *_OTHERS),
    "nobody": (*_OWNER, *_GUEST, *_STRANGER, *_OTHERS),
    "locked": (*_OWNER, *_GUEST, *_STRANGER, *_OTHERS),
    "staff": (),
    # Orders name devices and amounts of every company, and no person of any.
    "service orders": ("owner's names", "guest's names", "stranger's names", "neighbor's names"),
    "service events": (*_OWNER, *_GUEST, *_STRANGER, *_OTHERS),
    "service search": (*_OWNER, *_GUEST, *_STRANGER, *_OTHERS),
}


@dataclass
class Seen:
    """One answer to one caller."""

    caller: str
    person: str
    request: str
    sent: str
    shown: str


@dataclass
class Watch:
    """Looks at answers.

    Args:
        canaries: group -> what it is -> text that only this group's company knows.
    """

    canaries: Mapping[str, Mapping[str, str]]
    seen: list[Seen] = field(default_factory=list)

    def look(self, role: Role, request: str, sent: Any, answer: Answer) -> None:
        """Keep an answer, and fail if it shows what the caller must not see.

        Args:
            role: who asked.
            request: method and path.
            sent: what was sent; it may come back.
            answer: what came.
        """
        headers = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        shown = headers + "\n" + answer.content.decode("utf-8", "replace")
        entry = Seen(role.name, role.person, request, repr(sent), shown)
        self.seen.append(entry)
        leaks = list(self.leaks(entry, role.bound))
        assert not leaks, f"{request} shows {role.name} {leaks}:\n{shown[:4000]}"

    def leaks(self, entry: Seen, bound: str | None) -> Iterable[str]:
        """Yield what an answer shows and must not."""
        for group in (*UNSEEN[entry.person], *(("owner's second project",) if bound == "project" else ())):
            for what, text in self.canaries[group].items():
                if shows(entry.shown, text) and not shows(entry.sent, text):
                    yield f"{what} of {group}: {text!r}"

    def of_person(self, person: str) -> list[Seen]:
        """Return the answers that one person was given."""
        return [entry for entry in self.seen if entry.person == person]


def shows(shown: str, text: str) -> bool:
    """Tell whether a text stands in an answer; a number only as a whole, so that no id holds it by chance."""
    if text.isdigit():
        return text in shown and re.search(rf"(?<![0-9A-Za-z-]){text}(?![0-9A-Za-z-])", shown) is not None
    return text in shown or _quoted(text) in shown


@cache
def _quoted(text: str) -> str:
    return quote(text)


def ids_in(texts: Iterable[str]) -> set[str]:
    """Return all ids in texts."""
    return {found for text in texts for found in ID.findall(text)}
