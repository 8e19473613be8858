"""Who asks in the tenant matrix: what each of them is, as data, and how they send."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import requests

from tests.integration.http_client import Answer
from tests.integration.tenancy.canaries import Watch
from tests.integration.tenancy.people import StolenKey, age_login, claims_of
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
        login: `recent`, `old`, or `none` for an API token (ACC-13).
        service: a program of the vendor, which reaches the routes of its scopes and nothing else (ACC-11).
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
    login: str = "recent"
    service: bool = False

    def relation(self, project: str) -> str | None:
        """Return the column of the table of powers that the caller stands in for a project, None for a stranger."""
        if self.bound not in (None, project):
            return None
        return (self.relations or {}).get(project) or ("staff" if self.staff else None)


def _service(scope: str) -> Role:
    return Role(f"service {scope}", f"service {scope}", scopes=frozenset({scope}), login="none", service=True)


def _of_owner(name: str, scopes: frozenset[str] = INTERACTIVE, bound: str | None = None) -> Role:
    both = {"project": "own_admin", "project2": "own_admin"}
    login = "recent" if scopes == INTERACTIVE else "none"
    return Role(name, "owner", None, "owner", True, False, scopes, frozenset(RIGHTS), both, bound, login)


ROLES: Final[tuple[Role, ...]] = (
    _of_owner("own admin"),
    Role("own member", "member", company="owner", relations={"project": "own_member", "project2": "own_member"}),
    Role("guest", "guest", company="guest", admin=True, rights=frozenset(RIGHTS), relations={"project": "guest"}),
    Role("stranger", "stranger", company="stranger", admin=True, rights=frozenset(RIGHTS)),
    Role("without a company", "loner"),
    Role("staff", "staff", staff=True, scopes=INTERACTIVE | {"events"}),
    replace(_of_owner("old login"), login="old"),
    Role("old staff login", "staff", staff=True, scopes=INTERACTIVE | {"events"}, login="old"),
    Role("locked", "locked", refused="token.revoked"),
    Role("expired", "owner", refused="token.expired"),
    Role("nobody", "nobody", refused="token.missing"),
    _of_owner("token read", frozenset({"read"})),
    _of_owner("token write", frozenset({"write"})),
    _of_owner("token device", frozenset({"device"})),
    Role("token events", "staff", staff=True, scopes=frozenset({"events"}), login="none"),
    _service("orders"),
    _service("events"),
    _service("search"),
    _of_owner("token of the project", BOUND, "project"),
    _of_owner("token of another project", BOUND, "project2"),
)


class Caller:
    """One caller with a connection; every answer is watched and kept.

    Args:
        role: what the caller is.
        base: address of the gateway.
        token: returns the access token to send now, None for nobody.
        watch: looks at every answer.
    """

    def __init__(self, role: Role, base: str, token: Callable[[], str | None], watch: Watch) -> None:
        self.role = role
        self.base = base
        self.watch = watch
        self.session = requests.Session()
        self.session.trust_env = False
        self._token = token
        self.session.auth = self._authorized

    def _authorized(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the token of now to whatever the session sends."""
        token = self._token()
        if token is not None:
            request.headers["Authorization"] = f"Bearer {token}"
        return request

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        text: str | None = None,
        media_type: str = "application/json",
        key: str | None = None,
    ) -> Answer:
        """Send a request under the key given, else one of its own."""
        headers = {"Idempotency-Key": key or str(uuid.uuid4())} if method not in ("GET", "HEAD") else {}
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
        **{f"service {scope}": world.tokens[f"service {scope}"] for scope in ("orders", "events", "search")},
        "token of the project": world.tokens["project"],
        "token of another project": world.tokens["project2"],
    }
    for name, person in (("old login", world.login("owner")), ("old staff login", world.installation.staff())):
        tokens[name] = age_login(world.installation, person, 11).tokens["access_token"]

    def caller(role: Role) -> Caller:
        token = tokens[role.name]
        is_fresh = role.login == "recent" and role.refused is None and token is not None
        give = _OfNow(key, claims_of(token)) if is_fresh and token is not None else lambda: token
        return Caller(role, world.installation.base, give, watch)

    return {role.name: caller(role) for role in ROLES}


class _OfNow:
    """Gives the token of a login of this quarter of an hour, so that the matrix may take as long as it takes.

    Args:
        key: of the room that gives tokens.
        claims: of the login.
    """

    def __init__(self, key: StolenKey, claims: Mapping[str, Any]) -> None:
        self.claims = claims
        # Signing takes as long as all else that a test does for a request, so it is done once for each start.
        self.signed = cache(lambda at: key.sign({**claims, "auth_time": at}))

    def __call__(self) -> str:
        start = int(time.time()) // 240 * 240
        token: str = self.signed(max(start, self.claims["auth_time"]))
        return token
