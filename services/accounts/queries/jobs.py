"""How far an import of a company is (ACC-6)."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from services.accounts import api
from services.accounts.api import Actor, needs
from services.accounts.commands.company_imports import job_answer
from services.accounts.store import imports
from services.chassis.context import Call
from services.chassis.data.db import Database
from services.chassis.errors import not_found
from services.chassis.service.declare import query


@query(
    request=api.JobRequest,
    answer=api.Job,
    needs=(needs.LOGIN,),
    raises=("accounts.job_not_found", *needs.ADMINISTRATOR.raises),
)
def get_job(database: Database, call: Call, request: Mapping[str, Any]) -> dict[str, object]:
    """Return an import of the caller's company, for its administrators, for whoever started it, and for staff."""
    actor = Actor.of(call)

    def work(connection: Connection) -> dict[str, object]:
        row = imports.by_id(connection, request["job_id"])
        if row is None or not (actor.staff or actor.owns(row.company_id)):
            raise not_found(
                "accounts.job_not_found",
                "Your company has no such job: use the address that was given when it started.",
            )
        if not actor.staff and row.started_by != actor.user_id:
            actor.require_admin()
        return job_answer(connection, row)

    return database.read(work)
