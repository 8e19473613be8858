"""The migrations build exactly what the models describe, on both databases."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.chassis.data import tables
from services.devices.models import Base
from services.devices.tests.conftest import Room


def test_models_and_migrations_do_not_differ(empty_room: Room) -> None:
    with empty_room.database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_name": lambda name, kind, _: kind != "table" or name in Base.metadata.tables},
        )
        assert compare_metadata(context, Base.metadata) == []
    assert not Base.metadata.tables.keys() & tables.metadata.tables.keys()
