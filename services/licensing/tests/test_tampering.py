"""Each of the auditor's checks of the ledger finds what it is for, when somebody with root has tampered (L18).

Issue 6.4: five checks were switched off one by one, and nobody's test missed them. `make faults` blinds each in turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from pathlib import Path

import pytest

from services.chassis.data.audit.checks import Check, check_outbox
from services.chassis.data.db import Database
from services.chassis.data.testing import flaws_of, make_lived_database, unguarded
from services.licensing.audit import check_ledger
from services.licensing.audit.keys import check_sealed_keys
from services.licensing.tests.things import Thing
from services.licensing.tests.world import World

_A_KIND = "(SELECT min(id) FROM transfers WHERE kind = '{}')"
_ASSIGN, _TAKE_BACK, _CORRECT = (_A_KIND.format(kind) for kind in ("assign", "take_back", "correct"))
_USED = "(SELECT min(id) FROM activation_keys WHERE state = 'used')"
_OPEN = "(SELECT min(id) FROM activation_keys WHERE state = 'open')"
_TOLD = "(SELECT min(id) FROM outbox WHERE type = 'licenses_assigned')"
_LINE = "(SELECT min(id) FROM device_lines WHERE state = '{}')"
_INSTALLED, _TAKEN = _LINE.format("installed"), _LINE.format("taken_back")
_OUTBOX = "id, emission, type, event, created_at"
_OF_TWO = (
    "(SELECT min(id) FROM device_lines WHERE transfer_id IN "
    "(SELECT transfer_id FROM device_lines GROUP BY transfer_id HAVING count(*) > 1))"
)
_OF_OTHER_DEVICE = (
    "(SELECT min(other.id) FROM device_lines other JOIN device_lines mine ON mine.id = license_file_lines.line_id "
    "WHERE other.license_type = 'fax8' AND other.hardware_id <> mine.hardware_id)"
)
_DELETED = "(SELECT min(project_id) FROM project_deletions)"
_OTHER_ORDER = "UPDATE orders SET number = 'x' WHERE number = (SELECT min(number) FROM orders WHERE key_id IS NOT NULL)"
_EDIT = "UPDATE outbox SET event = replace(event, {}) WHERE id = " + _TOLD

BESIDE: list[tuple[str, str, str]] = [
    ("device lines say who and when", "UPDATE device_lines SET company_id = 'x'", "was assigned by x"),
    ("device lines say who and when", "UPDATE device_lines SET assigned_by = 'x'", "and booked by"),
    (
        "device lines say who and when",
        f"UPDATE device_lines SET ended_at = '2020-01-01 00:00:00' WHERE id = {_TAKEN}",
        "ended at 2020-01-01 00:00:00, and was booked at",
    ),
    (
        "device lines say who and when",
        f"UPDATE device_lines SET state = 'installed' WHERE id = {_TAKEN}",
        "is installed and was ended by",
    ),
    (
        "keys are as they were ordered",
        f"UPDATE activation_keys SET created_by = 'x' WHERE id = {_OPEN}",
        "was made by x",
    ),
    (
        "keys are as they were ordered",
        f"UPDATE activation_keys SET expires_at = '2020-01-01 00:00:00' WHERE id = {_OPEN}",
        "has expires_at = 2020-01-01",
    ),
    (
        "keys are as they were ordered",
        f"UPDATE activation_keys SET company_id = 'x' WHERE id = {_OPEN}",
        "company_id = x",
    ),
    (
        "keys are as they were ordered",
        f"UPDATE activation_keys SET comment = 'x' WHERE id = {_USED}",
        "another comment",
    ),
    (
        "keys are as they were ordered",
        "UPDATE outbox SET event = replace(event, '\"comment\":', '\"note\":') WHERE type = 'activation_key_redeemed'",
        "about a key cannot be read (KeyError)",
    ),
    (
        "orders are as they were entered",
        "UPDATE orders SET customer_name = 'x'",
        "has other contents than its fingerprint",
    ),
    ("orders are as they were entered", "UPDATE orders SET state = 'entered'", "is entered and was told 1 times"),
    ("orders are as they were entered", "UPDATE orders SET licenses = '[[\"port8\",7]]'", "'port8': 7}"),
    (
        "orders are as they were entered",
        "UPDATE orders SET created_at = '2099-01-01 00:00:00'",
        "has created_at = 2099",
    ),
    ("orders are as they were entered", "DELETE FROM orders", "was told and is not there"),
    (
        "orders are as they were entered",
        "UPDATE outbox SET event = replace(event, '\"devices\":', '\"things\":') WHERE type = 'order_entered'",
        "about an order cannot be read (KeyError)",
    ),
    ("orders are as they were entered", "UPDATE orders SET devices = '[7]'", "cannot be read (TypeError)"),
    ("the catalogue is as shipped", "UPDATE device_types SET origin = 'x'", "device type IP1200 is"),
    (
        "the catalogue is as shipped",
        "UPDATE license_types SET returnable = {false} WHERE id = 'port8'",
        "type port8 is",
    ),
    ("the catalogue is as shipped", "UPDATE catalogue_versions SET offered = {false}", "version 8 is (False,)"),
    ("every event was booked as told", f"UPDATE transfers SET reason = 'x' WHERE id = {_CORRECT}", "booked for 'x'"),
    (
        "every event was booked as told",
        f"UPDATE device_lines SET project_id = 'x' WHERE id = {_INSTALLED}",
        "is in project x, told was",
    ),
    (
        "deleted projects are empty",
        "UPDATE project_deletions SET project_id = 'x'",
        "project x was deleted, and is not closed for that",
    ),
    (
        "keys were used as booked",
        f"UPDATE activation_keys SET used_project_id = 'x' WHERE id = {_OPEN}",
        "says who used it",
    ),
]
"""What stands beside the amounts: who, for whom, when, until when."""
TAMPERED: list[tuple[str, str, str]] = [
    (
        "transfers sum to zero",
        f"UPDATE transfer_entries SET quantity = quantity + 1 WHERE transfer_id = {_ASSIGN} AND quantity > 0",
        "out of nowhere",
    ),
    ("transfers sum to zero", f"DELETE FROM transfer_entries WHERE transfer_id = {_CORRECT}", "has no lines"),
    (
        "balances are the sums of their entries",
        "UPDATE balances SET n = n + 1 WHERE pool_id LIKE 'project:%'",
        "its entries sum to",
    ),
    ("balances are the sums of their entries", "UPDATE balances SET n = -1 WHERE pool_id LIKE 'project:%'", "holds -1"),
    ("balances are the sums of their entries", "DELETE FROM balances WHERE pool_id LIKE 'device:%'", "and no balance"),
    (
        "license types sum to zero",
        "UPDATE balances SET n = n + 1 WHERE pool_id LIKE 'project:%'",
        "more than were issued",
    ),
    (
        "keys are redeemed at most once",
        f"UPDATE activation_keys SET state = 'open', used_project_id = NULL WHERE id = {_USED}",
        "is open and was redeemed",
    ),
    (
        "keys are redeemed at most once",
        f"UPDATE activation_keys SET used_project_id = 'x' WHERE id = {_USED}",
        "its redemption moved",
    ),
    (
        "keys are redeemed at most once",
        f"UPDATE activation_keys SET state = 'used', used_project_id = 'x' WHERE id = {_OPEN}",
        "its redemption moved {}",
    ),
    (
        "keys are redeemed at most once",
        f"UPDATE balances SET n = 1 WHERE pool_id = 'key:' || {_USED}",
        "is used and still holds",
    ),
    ("keys are redeemed at most once", f"UPDATE balances SET n = 99 WHERE pool_id = 'key:' || {_OPEN}", "should hold"),
    ("keys are redeemed at most once", f"DELETE FROM activation_keys WHERE id = {_USED}", "does not exist"),
    (
        "device lines match the ledger",
        f"UPDATE device_lines SET quantity = quantity + 1 WHERE id = {_INSTALLED}",
        "its lines say",
    ),
    (
        "device lines match the ledger",
        f"UPDATE device_lines SET license_type = 'conference' WHERE id = {_INSTALLED}",
        "holds no conference",
    ),
    (
        "device lines were booked",
        f"UPDATE device_lines SET ended_by = 'x' WHERE id = {_TAKEN}",
        "by a transfer that does not exist",
    ),
    (
        "device lines were booked",
        f"UPDATE device_lines SET state = 'removed' WHERE id = {_TAKEN}",
        "removed by a transfer of the kind take_back",
    ),
    (
        "device lines were booked",
        f"UPDATE device_lines SET transfer_id = 'x' WHERE id = {_INSTALLED}",
        "transfer x moved 0",
    ),
    ("device lines were booked", f"DELETE FROM device_lines WHERE id = {_INSTALLED}", "its lines say 0"),
    ("device lines were booked", f"DELETE FROM device_lines WHERE id = {_TAKEN}", "its lines say 0"),
    (
        "device lines know who paid",
        f"UPDATE device_lines SET draws = '[[\"issued\",999]]' WHERE id = {_INSTALLED}",
        "was paid with 999",
    ),
    (
        "device lines know who paid",
        "UPDATE device_lines SET draws = replace(draws, '-', '_') WHERE state = 'installed'",
        "its lines say {('project:",
    ),
    (
        "device lines match their files",
        "UPDATE device_lines SET file_issued = 'none' WHERE file_issued = 'encrypted'",
        "is known as issued none, its files say encrypted",
    ),
    (
        "device lines match their files",
        "UPDATE device_lines SET file_issued = 'encrypted' WHERE file_issued = 'plain'",
        "is known as issued encrypted, its files say plain",
    ),
    ("device lines match their files", "UPDATE device_lines SET state = 'taken_back'", "was taken_back although"),
    (
        "device lines match their files",
        "UPDATE license_file_lines SET quantity = quantity + 1",
        "not as assigned",
    ),
    ("pools belong to projects", "DELETE FROM projects", "has no project"),
    (
        "deleted projects are empty",
        "UPDATE balances SET n = 1 WHERE pool_id = 'project:' || " + _DELETED,
        "has a balance",
    ),
    (
        "deleted projects are empty",
        f"UPDATE activation_keys SET used_project_id = {_DELETED} WHERE id = {_USED}",
        "was added to the deleted project",
    ),
    (
        "deleted projects are empty",
        "UPDATE project_deletions SET told = {false}, started_at = '2020-01-01 00:00:00'",
        "is deleted since 2020-01-01",
    ),
    ("deleted projects are empty", "UPDATE project_deletions SET state = 'abandoned'", "which is no deletion any more"),
    ("orders are finished", "UPDATE orders SET state = 'entered'", "was not finished"),
    ("orders are finished", "UPDATE orders SET key_id = NULL", "has the key None"),
    ("orders are finished", _OTHER_ORDER, "is of another order"),
    ("orders are finished", _OTHER_ORDER, "which does not have it"),
    (
        "pools belong to projects",
        "UPDATE projects SET pool_id = 'issued' WHERE id = (SELECT min(id) FROM projects)",
        "another one's",
    ),
    ("pools belong to projects", "UPDATE pools SET kind = 'void' WHERE kind = 'project'", "is known as void"),
    ("keys were used as booked", f"UPDATE activation_keys SET used_by = 'x' WHERE id = {_USED}", "was used by x"),
    ("keys were used as booked", f"UPDATE activation_keys SET used_by = 'x' WHERE id = {_OPEN}", "says who used it"),
    (
        "keys were used as booked",
        f"UPDATE activation_keys SET used_company_id = 'x' WHERE id = {_USED}",
        "was used by company x in a project of",
    ),
    (
        "keys are redeemed at most once",
        f"UPDATE activation_keys SET licenses = '{{}}' WHERE id = {_OPEN}",
        "should hold {}",
    ),
    (
        "keys are redeemed at most once",
        f"UPDATE activation_keys SET licenses = '[7]' WHERE id = {_OPEN}",
        "cannot be read (TypeError)",
    ),
    (
        "every event was booked as told",
        "UPDATE outbox SET event = replace(event, '\"licenses\":', '\"licences\":') WHERE id = " + _TOLD,
        "cannot be read (KeyError)",
    ),
    ("every transfer was told once", f"DELETE FROM outbox WHERE id = {_TOLD}", "was told 0 times"),
    (
        "every transfer was told once",
        f"INSERT INTO outbox ({_OUTBOX}) SELECT 'x', 0, {_OUTBOX[14:]} FROM outbox WHERE id = {_TOLD}",
        "was told 2 times",
    ),
    ("every transfer was told once", _EDIT.format('\'"companyid":"\', \'"companyid":"x\''), "was told 0 times"),
    ("every event was booked as told", f"DELETE FROM transfers WHERE id = {_ASSIGN}", "no transfer was booked with it"),
    ("every event was booked as told", f"DELETE FROM device_lines WHERE id = {_INSTALLED}", "no transfer was booked"),
    ("every event was booked as told", f"UPDATE transfers SET kind = 'gift' WHERE id = {_ASSIGN}", "which is gift"),
    (
        "every event was booked as told",
        "UPDATE outbox SET event = replace(event, '\"quantity\":', '\"quantity\":1') WHERE type = 'licenses_assigned'",
        "moved",
    ),
    ("every event was booked as told", f"UPDATE transfers SET actor_id = 'x' WHERE id = {_ASSIGN}", "the booking x"),
    (
        "every event was booked as told",
        'UPDATE outbox SET event = replace(event, \'"drawn":[{"id":"\', \'"drawn":[{"id":"x\')',
        "booked were 0",
    ),
    (
        "every event was booked as told",
        "UPDATE device_lines SET transfer_id = (SELECT max(id) FROM transfers) WHERE id = " + _OF_TWO,
        "it tells of 2 transfers",
    ),
    *BESIDE,
]


def _passing_by(kind: str, giver: str) -> list[str]:
    """Let an amount go by in a transfer of a kind, from a pool to a project, with the balances: all sums stay right."""
    transfer = _A_KIND.format(kind)
    others = f"SELECT pool_id FROM transfer_entries WHERE transfer_id = {transfer}"
    held = "SELECT min(pool_id) FROM balances WHERE license_type = 'warranty-year' AND pool_id LIKE 'project:%'"
    taker = f"({held} AND pool_id NOT IN ({others}))"
    made = []
    for number, (pool, n) in enumerate(((taker, 1), (giver, -1)), start=90):
        entry = f"SELECT {transfer}, {number}, {pool}, 'warranty-year', {n}"
        made.append(f"INSERT INTO transfer_entries (transfer_id, number, pool_id, license_type, quantity) {entry}")
        made.append(f"UPDATE balances SET n = n + {n} WHERE pool_id = {pool} AND license_type = 'warranty-year'")
    # The balances first: afterwards the taker is in the transfer and no other project is found.
    return [made[1], made[3], made[0], made[2]]


_TWINS = "license_type = 'fax8' AND quantity = 4"
_FILED_TWIN = f"(SELECT min(id) FROM device_lines WHERE {_TWINS} AND file_issued = 'plain')"
_LATER_TWIN = f"(SELECT max(id) FROM device_lines WHERE {_TWINS} AND file_issued = 'none')"
_OTHER_LATCH = "CASE file_issued WHEN 'plain' THEN 'none' ELSE 'plain' END"
_OF_GUEST = "(SELECT max(id) FROM transfers WHERE kind = 'assign')"
_GUEST = "(SELECT company_id FROM projects WHERE name = 'Guest''s own')"
TOGETHER: list[tuple[str, list[str], str]] = [
    (
        "keys are redeemed at most once",
        [f"UPDATE activation_keys SET state = 'cancelled' WHERE id = {_OPEN}"],
        "is cancelled, which no key of an order becomes",
    ),
    (
        "keys are redeemed at most once",
        [f"UPDATE activation_keys SET state = 'expired' WHERE id = {_OPEN}"],
        "is expired, which no key of an order becomes",
    ),
    (
        "every transfer was told once",
        [
            f"UPDATE device_lines SET company_id = {_GUEST} WHERE transfer_id = {_OF_GUEST}",
            f"UPDATE transfers SET company_id = {_GUEST} WHERE id = {_OF_GUEST}",
        ],
        "was told 0 times to",
    ),
    (
        "device lines match their files in time",
        [
            f"UPDATE license_file_lines SET line_id = {_LATER_TWIN} WHERE line_id = {_FILED_TWIN}",
            f"UPDATE device_lines SET file_issued = {_OTHER_LATCH} WHERE {_TWINS} AND file_issued IN ('plain', 'none')",
        ],
        "which was assigned only afterwards",
    ),
    ("every event was booked as told", _passing_by("order", "'issued'"), "of issued alone"),
    ("every event was booked as told", _passing_by("correct", "'issued'"), "of issued alone"),
    ("every event was booked as told", _passing_by("return", "'issued'"), "-1 warranty-year of issued"),
    ("every event was booked as told", _passing_by("floating_off", "'issued'"), "and should give back alone"),
    (
        "the catalogue is as shipped",
        ["UPDATE device_types SET origin = 'staff', maxima = '{}' WHERE id = 'IP6000'"],
        "device type IP6000 is",
    ),
    (
        "device lines match their files",
        [
            f"UPDATE license_file_lines SET line_id = {_OF_OTHER_DEVICE} WHERE license_type = 'fax8' AND quantity = 4",
        ],
        "which is on",
    ),
    (
        "outbox without gaps",
        ["UPDATE outbox SET sequence = NULL, sent_at = created_at WHERE type = 'balance_corrected'"],
        "balance_corrected, is marked as published and never had a number",
    ),
]
"""Rows that were changed together, so that each sum and each pair still fits."""


@pytest.fixture
def lived(database_uri: str, tmp_path: Path) -> Iterator[World]:
    """Give a world in which every kind of transfer was booked once, and nothing is wrong."""
    database, world = make_lived_database("licensing", database_uri, tmp_path, live)
    mine = copy(world)
    mine.database = database
    yield mine
    database.close()


def live(database: Database, _: Path) -> World:
    """Book every kind of transfer."""
    world = World(database)
    other, gone = world.project("Other"), world.project("Gone")
    world.stock({"port8": 30, "fax8": 30}, world.home)
    world.stock({"port8": 5, "warranty-year": 1}, other)
    world.stock({"port8": 1}, gone)
    body = {"license_type": "port8", "reason": "paper"}
    world.ask("correct_balance", world.staff(), project_id=world.home, quantity=2, **body)
    world.order_key({"port8": 3})
    device, plain = world.device(), world.device()
    world.assign(device, {"port8": 34, "fax8": 2}, sources=[other])
    line = world.assign(device, {"fax8": 1})["licenses"][0]["id"]
    world.ask("take_back", world.admin(), device_id=device, line_id=line)
    world.ask("set_floating", world.admin(), device_id=plain, version=7)
    world.ask("remove_floating", world.admin(), device_id=plain)
    thing = Thing(world, device)
    thing.give_up(thing.file())
    world.assign(device, {"fax8": 3})
    thing.file()
    world.assign(plain, {"fax8": 4})
    Thing(world, plain).file(encrypted=False)
    world.assign(device, {"port8": 1, "fax8": 1})
    world.ask("correct_balance", world.staff(), project_id=gone, quantity=-1, **body)
    empty = world.project("Empty")
    world.ask("correct_balance", world.staff(), project_id=empty, quantity=1, **body)
    world.ask("correct_balance", world.staff(), project_id=empty, quantity=-1, **body)
    world.ask("delete_project", world.admin(), project_id=empty)
    world.assign(plain, {"fax8": 4})
    guest = World(world.database)
    guest.projects, guest.devices = world.projects, world.devices
    guest.home = guest.project("Guest's own")
    guest.stock({"port8": 10})
    world.projects.let(world.home, guest.company)
    world.devices.share(world.home, guest.company)
    guest.assign(device, {"port8": 5}, sources=[guest.home])
    assert [check for check in audited(world) if check.flaws] == []
    return world


def audited(world: World) -> list[Check]:
    """Return all checks of the ledger."""
    return world.database.read(check_ledger, snapshot=True)


@pytest.mark.parametrize("number", range(len(TAMPERED)))
def test_what_was_tampered_with_is_told_by_the_check_for_it(lived: World, number: int) -> None:
    name, statement, text = TAMPERED[number]
    false = "0" if lived.database.dialect == "sqlite" else "false"
    with unguarded(lived.database) as connection:
        # The driver of PostgreSQL takes a lone percent sign for a parameter.
        plain = statement if false == "0" else statement.replace("%", "%%")
        changed = connection.exec_driver_sql(plain.replace("{false}", false))
        assert changed.rowcount > 0
    assert text in flaws_of(audited(lived), name)


@pytest.mark.parametrize("number", range(len(TOGETHER)))
def test_rows_that_were_changed_together_are_told(lived: World, number: int) -> None:
    name, statements, text = TOGETHER[number]
    with unguarded(lived.database) as connection:
        for statement in statements:
            is_plain = lived.database.dialect == "sqlite"
            assert connection.exec_driver_sql(statement if is_plain else statement.replace("%", "%%")).rowcount > 0
    checks = [*audited(lived), *lived.database.read(lambda c: check_outbox(c, "licensing")[1:], snapshot=True)]
    assert text in flaws_of(checks, name)
    assert not flaws_of(checks, "transfers sum to zero") + flaws_of(checks, "balances are the sums of their entries")


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("digest = 'x'", "is found by another text"),
        ("last_group = 'x'", "is found by another text"),
        ("sealed = digest", "cannot be opened"),
    ],
)
def test_a_key_that_is_found_by_another_text_or_not_opened_is_told(lived: World, column: str, text: str) -> None:
    if lived.database.dialect == "postgresql":
        column = column.replace("= digest", "= convert_to(digest, 'UTF8')")

    def audit_keys() -> str:
        keystore = lived.database.keystore
        assert keystore is not None
        checks = [lived.database.read(lambda connection: check_sealed_keys(connection, keystore), snapshot=True)]
        return flaws_of(checks, "sealed keys can be opened")

    assert audit_keys() == ""
    with unguarded(lived.database) as connection:
        connection.exec_driver_sql(f"UPDATE activation_keys SET {column} WHERE id = {_USED}")
    assert text in audit_keys()
