"""The caller's own account (ACC-7)."""

from services.accounts import api
from services.accounts.api import Actor, needs
from services.accounts.commands.me import me
from services.chassis.answers import Shown
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.fields import EmptyRequest
from services.chassis.service.declare import query


@query(request=EmptyRequest, answer=api.Me, needs=(needs.LOGIN,), raises=("accounts.user_not_found",))
def get_me(database: Database, call: Call) -> Shown:
    """Return the caller's own account."""
    actor = Actor.of(call)
    return database.read(lambda connection: me(connection, actor))
