"""What a route is: a row of data that names method, path, room, RPC, schemas, status and the right that is needed.

Rows hold no logic; what needs several rooms, or an answer that is not JSON, names a function of `gateway.compose`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, Protocol

from marshmallow import Schema, fields

from gateway.messages import JSON, Request
from services.chassis.context import Call

# Fields of an RPC that no client writes into a body: they come from the query, from headers or from the connection.
VERSION_FIELDS: Final = ("if_version", "revision")
HIDDEN_FIELDS: Final = frozenset({"dry_run", "client_address", "user_agent", "etag", *VERSION_FIELDS})


class Right(StrEnum):
    """What the caller must be, as far as the token tells; what concerns single objects is the room's decision."""

    NONE = "none"
    LOGIN = "login"
    COMPANY = "company"
    ADMIN = "admin"
    STAFF = "staff"
    DEVICE = "device"


@dataclass(frozen=True, slots=True)
class Reply:
    """A room's answer, and whether it is the stored one of an earlier call with the same command id."""

    result: dict[str, Any]
    replayed: bool = False


class Rooms(Protocol):
    """How routes call the rooms."""

    def call(self, service: str, rpc: str, call: Call, arguments: Mapping[str, Any]) -> Reply:
        """Call one RPC and return its reply; raises the room's ServiceError."""


class NamedRooms:
    """The rooms as one row may call them: any other procedure would refuse with codes that nobody published."""

    def __init__(self, rooms: Rooms, procedures: Collection[str]) -> None:
        self._rooms = rooms
        self._procedures = procedures

    def call(self, service: str, rpc: str, call: Call, arguments: Mapping[str, Any]) -> Reply:
        """Call one RPC.

        Raises:
            LookupError: the row does not name it.
        """
        if f"{service}.{rpc}" not in self._procedures:
            raise LookupError(f"{service}.{rpc} is called by a row that does not name it (see `compose.calls`).")
        return self._rooms.call(service, rpc, call, arguments)


@dataclass(slots=True)
class Answer:
    """What goes back for a row, before it becomes bytes; `content` replaces the JSON body."""

    status: int
    result: dict[str, Any] | None = None
    content: bytes | None = None
    content_type: str = JSON
    headers: list[tuple[str, str]] = field(default_factory=list)
    replayed: bool = False


Compose = Callable[["Row", Rooms, Call, dict[str, Any], Request], Answer]


@dataclass(frozen=True)
class Row:
    """One route.

    Args:
        method, path: the address; `{name}` in the path is the RPC argument of that name.
        service, rpc: the room and its procedure (for a composed row: the one whose schema is taken).
        right: what the caller must be.
        summary: one sentence for the reader of the OpenAPI document.
        request, answer: the room's schemas; the request is body, path and query together.
        status: of a success; a rehearsal answers 200.
        recent: changes who is who, so it needs a login or confirmation of the last ten minutes and is closed to API
            tokens (the mark ⚿ of the published contract); the room asks for it as well.
        enrolment: also open to a login that may do nothing but switch a demanded second factor on.
        scope: the token's scope; `read` for GET and `write` otherwise when it is not given.
        served: the scope with which a service account reaches the route; nothing else lets one in (ACC-11).
        power: what the caller must be able to do in the project concerned, of the table of powers; the room decides,
            and the door refuses who can have it in no project at all.
        dry_run: the route can be rehearsed (the mark ◊ of the published contract).
        keyed: the route takes an Idempotency-Key; all writes do but those that hand out sessions.
        takes, raw: media type of a body that is no JSON, and the RPC argument that gets it as text.
        gives: media types of an answer that is no JSON.
        location: address of what was made, with fields of the answer.
        compose: function that answers instead of the plain call; what it asks besides, `calls` names where it stands.
        rehearsal: the schema of a rehearsal's answer, where it is another one than that of the real thing.
        revokes: a success may end sessions or tokens; this process must know them before the answer goes out.
    """

    method: str
    path: str
    service: str
    rpc: str
    right: Right
    summary: str
    request: type[Schema] | None = None
    answer: type[Schema] | None = None
    status: int = 200
    recent: bool = False
    enrolment: bool = False
    scope: str | None = None
    served: str | None = None
    power: str | None = None
    dry_run: bool = False
    keyed: bool | None = None
    takes: str = JSON
    raw: str | None = None
    gives: tuple[str, ...] = (JSON,)
    location: str | None = None
    compose: Compose | None = None
    rehearsal: type[Schema] | None = None
    revokes: bool = False

    @cached_property
    def is_write(self) -> bool:
        """Tell whether the method changes something."""
        return self.method not in ("GET", "HEAD")

    @cached_property
    def is_keyed(self) -> bool:
        """Tell whether an Idempotency-Key is taken."""
        return self.is_write if self.keyed is None else self.keyed

    @cached_property
    def needed_scope(self) -> str | None:
        """Return the scope that a token must have; none for public routes."""
        if self.right is Right.NONE:
            return None
        if self.scope is not None:
            return self.scope
        return "write" if self.is_write else "read"

    @cached_property
    def procedures(self) -> frozenset[str]:
        """Return every `room.procedure` that the row may call; its refusals are theirs and the door's."""
        return frozenset({f"{self.service}.{self.rpc}", *getattr(self.compose, "procedures", ())})

    @cached_property
    def operation_id(self) -> str:
        """Return the name of the operation in the OpenAPI document: that of the procedure."""
        return self.rpc

    @cached_property
    def schema(self) -> Schema | None:
        """Return the request schema, made once."""
        return self.request() if self.request is not None else None

    @cached_property
    def speaks(self) -> bool:
        """Tell whether the answer holds sentences, in the language of Accept-Language."""
        return self.gives == (JSON,) and any(_speaks(schema()) for schema in (self.answer, self.rehearsal) if schema)

    @cached_property
    def path_names(self) -> tuple[str, ...]:
        """Return the names of the path's parameters in order."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))

    @cached_property
    def wire_fields(self) -> dict[str, fields.Field[Any]]:
        """Return the request's fields by the names that stand on the wire."""
        if self.schema is None:
            return {}
        return {item.data_key or name: item for name, item in self.schema.fields.items()}

    @cached_property
    def query_names(self) -> frozenset[str]:
        """Return the fields that come from the query string."""
        names = {"dry_run"} if self.dry_run else set()
        if self.method in ("GET", "DELETE"):
            names |= set(self.wire_fields) - set(self.path_names) - HIDDEN_FIELDS
        return frozenset(names)

    @cached_property
    def body_names(self) -> frozenset[str]:
        """Return the fields that come from the body."""
        if self.method in ("GET", "DELETE"):
            return frozenset()
        return frozenset(self.wire_fields) - set(self.path_names) - HIDDEN_FIELDS

    @cached_property
    def version_field(self) -> str | None:
        """Return the field that takes the version from If-Match, if the room knows versions."""
        return next((name for name in VERSION_FIELDS if name in self.wire_fields), None)


def _speaks(schema: Schema) -> bool:
    """Tell whether a line, an action or a refusal with its sentence is in an answer, or the reason of an action."""
    if "detail" in schema.fields or {"action", "data"} <= schema.fields.keys():
        return True
    inner = [item.inner if isinstance(item, fields.List) else item for item in schema.fields.values()]
    return any(_speaks(item.schema) for item in inner if isinstance(item, fields.Nested))
