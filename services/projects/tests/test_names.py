"""Names of companies: from events, and asked once; a list of projects asks nobody else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from services.chassis.data.outbox import Event
from services.chassis.ids import new_id
from services.projects import api, names, queries
from services.projects.tests.conftest import World


def told(company_id: str, name: str, sequence: int, type: str = "company_changed") -> Event:
    return Event(
        id=new_id(),
        source="accounts",
        type=type,
        time=datetime.now(UTC),
        subject=company_id,
        sequence=sequence,
        data={"name": name, "what": ["name"]},
        companyid=company_id,
    )


def listed(world: World) -> list[str]:
    items = world.do(queries.list_projects, api.ListProjectsRequest, world.guest)["items"]
    return [item["company"]["name"] for item in items]


def counted(world: World) -> list[list[str]]:
    """Note which companies accounts is asked for from now on."""
    asked: list[list[str]] = []
    answer = world.accounts.get_names

    def get_names(call: Any, *, user_ids: list[str], company_ids: list[str]) -> dict[str, Any]:
        asked.append(company_ids)
        return answer(call, user_ids=user_ids, company_ids=company_ids)

    world.accounts.get_names = get_names  # type: ignore[method-assign]
    return asked


def test_a_name_is_asked_once_and_follows_the_events(world: World) -> None:
    world.let(world.create("Shared"))
    world.create("Own", world.guest)
    with world.database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM companies")
    asked = counted(world)
    for _ in range(3):
        assert listed(world) == ["Beta", "Acme"]
    assert asked == [sorted([world.a, world.b])]
    world.database.write(lambda unit: names.apply_accounts_events(unit, [told(world.a, "Acme & Sons", 7)]))
    assert listed(world) == ["Beta", "Acme & Sons"]
    world.accounts.companies[world.a] = "Acme"
    # An event that was put off comes late and changes nothing.
    world.database.write(lambda unit: names.apply_accounts_events(unit, [told(world.a, "Ac", 3, "company_created")]))
    assert listed(world) == ["Beta", "Acme & Sons"]
    assert len(asked) == 1


def test_events_that_say_nothing_about_names_are_ignored(world: World) -> None:
    event = told(world.a, "x", 1, "company_user_added")
    world.database.write(lambda unit: names.apply_accounts_events(unit, [event]))
    assert world.database.read(lambda connection: names.known_names(connection, [world.a])) == {}
