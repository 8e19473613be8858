"""The open connections of a listener: bounded in all and for each address, and who makes room for the next one (G9).

Who keeps us waiting (half a head, half a body, an answer that is not read, nothing at all) makes room, of the address
that keeps most; who is at work never does. So a flood of half requests displaces itself, whoever shares its address.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container
from typing import Protocol

from services.chassis.addresses import network_of


class Member(Protocol):
    """What the crowd asks of a connection."""

    address: str
    waiting_since: float | None
    is_aside: bool

    def cut(self) -> None:
        """End the connection at once."""
        ...


class Crowd:
    """Counts connections and finds room.

    Args:
        most: connections in all.
        most_of_address: connections of one address (of one /64 for IPv6).
        most_aside: further connections, on which health is asked for and nothing else is answered.
        proxies: addresses of our own proxies; theirs are counted by the forwarded address once it is known.
    """

    def __init__(self, most: int, most_of_address: int, most_aside: int, proxies: Container[str]) -> None:
        self._most = most
        self._most_of_address = most_of_address
        self._most_aside = most_aside
        self._proxies = proxies
        self.members: dict[Member, None] = {}
        self._aside: dict[Member, None] = {}

    def enter(self, member: Member) -> None:
        """Let a new connection in; without room it is put aside, where only health is answered."""
        if self._has_room(member) and (len(self.members) < self._most or self._make_room()):
            self.members[member] = None
            return
        member.is_aside = True
        if len(self._aside) >= self._most_aside:
            self._displace(self._aside, self._aside)
        self._aside[member] = None

    def recognized(self, member: Member) -> bool:
        """Count a connection again, since its forwarded address is known now; tell whether it may stay."""
        return member.is_aside or self._has_room(member)

    def leave(self, member: Member) -> None:
        """Forget a connection."""
        self.members.pop(member, None)
        self._aside.pop(member, None)

    def _has_room(self, member: Member) -> bool:
        if member.address in self._proxies:
            return True
        block = network_of(member.address)
        same = [other for other in self.members if other is not member and network_of(other.address) == block]
        return len(same) < self._most_of_address or self._displace(same, self.members)

    def _make_room(self) -> bool:
        waiting = [member for member in self.members if member.waiting_since is not None]
        if not waiting:
            return False
        counts = Counter(network_of(member.address) for member in self.members)
        largest = max(counts[network_of(member.address)] for member in waiting)
        return self._displace(
            [member for member in waiting if counts[network_of(member.address)] == largest], self.members
        )

    @staticmethod
    def _displace(candidates: Collection[Member], group: dict[Member, None]) -> bool:
        waiting = [member for member in candidates if member.waiting_since is not None]
        if not waiting:
            return False
        longest = min(waiting, key=lambda member: member.waiting_since or 0.0)
        group.pop(longest, None)
        longest.cut()
        return True
