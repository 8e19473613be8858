"""Who asks in the tenant matrix: what each of them is, as data, and how they send."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests

from tests.integration.http_client import Answer
from tests.integration.tenancy.canaries import Watch
from tests.integration.tenancy.people import StolenKey, claims_of
from tests.integration.tenancy.world import RIGHTS, World

INTERACTIVE: Final = frozenset({"read", "write", "device", "account"})
BOUND: Final = frozenset({"read", "write", "device"})


@dataclass(frozen=True, slots=True)
class Role:
    """What a caller is.

    Args:
        name: of the caller.
        person: who it is in the world; two callers may be one person with different tokens.
        refused: code of the 401 that every route with a login gives, None for those who get in.
        company: name of the company, None without one.
        admin, staff: as the words say.
        scopes: of the token.
        rights: account rights.
        relations: project of the world -> column of the table of powers; staff see every project.
        bound: the one project of the token.
    """

    name: str
    person: str
    refused: str | None = None
    company: str | None = None
    admin: bool = False
    staff: bool = False
    scopes: frozenset[str] = INTERACTIVE
    rights: frozenset[str] = frozenset()
    relations: Mapping[str, str] | None = None
    bound: str | None = None

    def relation(self, project: str) -> str | None:
        """Return the column of the table of powers that the caller stands in for a project, None for a stranger."""
        if self.bound not in (None, project):
            return None
        return (self.relations or {}).get(project) or ("staff" if self.staff else None)


def _of_owner(name: str, scopes: frozenset[str] = INTERACTIVE, bound: str | None = None) -> Role:
    both = {"project": "own_admin", "project2": "own_admin"}
    return Role(name, "owner", None, "owner", True, False, scopes, frozenset(RIGHTS), both, bound)


ROLES: Final[tuple[Role, ...]] = (
    _of_owner("own admin"),
    Role("own member", "member", company="owner", relations={"project": "own_member", "project2": "own_member"}),
    Role("guest", "guest", company="guest", admin=True, rights=frozenset(RIGHTS), relations={"project": "guest"}),
    Role("stranger", "stranger", company="stranger", admin=True, rights=frozenset(RIGHTS)),
    Role("without a company", "loner"),
    Role("staff", "staff", staff=True, scopes=INTERACTIVE | {"events"}),
    Role("locked", "locked", refused="token.revoked"),
    Role("expired", "owner", refused="token.expired"),
    Role("nobody", "nobody", refused="token.missing"),
    _of_owner("token read", frozenset({"read"})),
    _of_owner("token write", frozenset({"write"})),
    _of_owner("token device", frozenset({"device"})),
    Role("token events", "staff", staff=True, scopes=frozenset({"events"})),
    _of_owner("token of the project", BOUND, "project"),
    _of_owner("token of another project", BOUND, "project2"),
)


class Caller:
    """One caller with a connection; every answer is watched and kept."""

    def __init__(self, role: Role, base: str, token: str | None, watch: Watch) -> None:
        self.role = role
        self.base = base
        self.watch = watch
        self.session = requests.Session()
        self.session.trust_env = False
        if token is not None:
            self.session.headers["Authorization"] = f"Bearer {token}"

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        text: str | None = None,
        media_type: str = "application/json",
    ) -> Answer:
        """Send a request under a key of its own."""
        headers = {"Idempotency-Key": str(uuid.uuid4())} if method not in ("GET", "HEAD") else {}
        if text is not None:
            headers["Content-Type"] = media_type
        response = self.session.request(
            method,
            self.base + path,
            params=query,
            json=json,
            data=text.encode() if text is not None else None,
            headers=headers,
            timeout=30,
        )
        answer = Answer(response)
        self.watch.look(self.role, f"{method} {path}", (path, query, json, text), answer)
        return answer


def make_callers(world: World, watch: Watch) -> dict[str, Caller]:
    """Return all callers by name, each with the token that its role says."""
    access = {name: world.person(name).tokens["access_token"] for name in ("owner", "member", "guest", "stranger")}
    key = StolenKey(world.installation.folder)
    now = int(time.time())
    tokens: dict[str, str | None] = {
        "own admin": access["owner"],
        "own member": access["member"],
        "guest": access["guest"],
        "stranger": access["stranger"],
        "without a company": world.loner.tokens["access_token"],
        "staff": world.staff.tokens["access_token"],
        "locked": world.locked.tokens["access_token"],
        "expired": key.sign({**claims_of(access["owner"]), "iat": now - 960, "exp": now - 60}),
        "nobody": None,
        "token read": world.tokens["read"],
        "token write": world.tokens["write"],
        "token device": world.tokens["device"],
        "token events": world.tokens["events"],
        "token of the project": world.tokens["project"],
        "token of another project": world.tokens["project2"],
    }
    return {role.name: Caller(role, world.installation.base, tokens[role.name], watch) for role in ROLES}
