"""The caller's own account (ACC-7)."""

from typing import Any

from services.accounts.api import Actor
from services.accounts.commands.me import me
from services.chassis.context import Call
from services.chassis.data.db import Database


def get_me(database: Database, call: Call) -> dict[str, Any]:
    """Return the caller's own account.

    Raises: accounts.user_not_found for an erased one.
    """
    actor = Actor.of(call)
    return database.read(lambda connection: me(connection, actor))
