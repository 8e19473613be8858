"""Which licenses go together: one table for refusals and what is allowed beside them (LIC-2, LIC-4)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.licensing.domain.catalogue import LicenseType
from services.licensing.domain.drawing import plan_draws
from services.licensing.domain.rules import (
    RuleViolationError,
    check_assignment,
    check_consistency,
    check_floating,
    choices,
    size_of,
)
from services.licensing.tests.test_catalogue import BY_ID, MODEL, TYPES

Named = Mapping[str, int]
FULL = {"pbx7-100": 1, "voicemail7-100": 1, "registrations7": 40}


def types(licenses: Named) -> dict[LicenseType, int]:
    return {BY_ID[license_type]: quantity for license_type, quantity in licenses.items()}


@pytest.mark.parametrize(
    ("model", "installed", "new"),
    [
        ("IP6000", {}, FULL),
        ("IP6000", {}, {"pbx7-100": 1, "standby7-100": 1}),
        ("IP6000", {}, {"registrations7": 100, "pbx7-100": 1}),
        ("IP6000", FULL, {"registrations7": 60}),
        ("IP6000", FULL, {"pbx7-200-from-100": 1, "voicemail7-200-from-100": 1, "registrations7": 160}),
        ("IP6000", {}, {"pbx7-200-from-100": 1, "pbx7-100": 1}),
        ("IP6000", {"pbx7-50": 1}, {"pbx7-100-from-50": 1, "pbx7-200-from-100": 1}),
        ("IP6000", {"pbx7-100": 1}, {"voicemail7-100": 1}),
        ("IP6000", {"pbx7-100": 1}, {"pbx6-50": 1}),
        ("IP6000", {"voicemail7-100": 1}, {"channels7": 10}),
        ("IP6000", {"voicemail7-100": 1}, {"pbx7-100": 1}),
        ("IP6000", {}, {"softwarephones7": 2000}),
        ("IP800", {}, {"port8": 500}),
        ("IP800", {}, {"voicemail8": 10}),
        ("IP110", {"warranty-year": 1}, {"warranty-year": 3}),
        ("IP6000", {"pbx7-slave": 1}, {"channels7": 60, "warranty-year": 4}),
    ],
)
def test_these_go_together(model: str, installed: Named, new: Named) -> None:
    check_assignment(MODEL[model], types(installed), types(new))


@pytest.mark.parametrize(
    ("model", "installed", "new", "rule", "allowed"),
    [
        ("IP6000", {}, {"pbx7-100": 2}, "one_unit", 1),
        ("IP6000", {"pbx7-50": 1}, {"pbx7-100": 1}, "one_base", 0),
        ("IP6000", {"pbx7-50": 1}, {"pbx7-50": 1}, "one_base", 0),
        ("IP6000", {}, {"pbx7-50": 1, "pbx7-100": 1}, "one_base", 0),
        ("IP6000", {}, {"pbx7-200-from-100": 1}, "upgrade_needs_base", 0),
        ("IP6000", {"pbx7-50": 1}, {"pbx7-200-from-100": 1}, "upgrade_needs_base", 50),
        ("IP6000", {"pbx6-100": 1}, {"pbx7-200-from-100": 1}, "upgrade_needs_base", 0),
        (
            "IP6000",
            {"pbx7-50": 1, "pbx7-100-from-50": 1},
            {"pbx7-200-from-50": 1},
            "upgrade_needs_base",
            100,
        ),
        ("IP6000", {}, {"voicemail7-100": 1}, "same_size_as_pbx", 0),
        ("IP6000", {}, {"pbx7-100": 1, "voicemail7-50": 1}, "same_size_as_pbx", 100),
        ("IP6000", {}, {"pbx7-100": 1, "standby7-200": 1}, "same_size_as_pbx", 100),
        ("IP6000", FULL, {"pbx7-200-from-100": 1}, "same_size_as_pbx", 200),
        ("IP6000", {"pbx6-100": 1}, {"voicemail7-100": 1}, "same_size_as_pbx", 0),
        ("IP6000", {}, {"registrations7": 1}, "registrations_within_pbx", 0),
        ("IP6000", FULL, {"registrations7": 61}, "registrations_within_pbx", 60),
        ("IP6000", {}, {"pbx7-100": 1, "registrations7": 101}, "registrations_within_pbx", 100),
        ("IP800", {}, {"pbx7-1000": 1}, "maximum", 500),
        ("IP800", {"channels7": 4}, {"channels7": 7}, "maximum", 6),
        ("IP800", {}, {"port8-20": 21}, "maximum", 20),
        ("IP800", {"port8": 490}, {"port8": 11}, "maximum", 10),
        ("IP302", {}, {"channels7": 1}, "maximum", 0),
        ("IP110", {}, {"registrations7": 1}, "maximum", 0),
        ("IP110", {}, {"port8": 1}, "maximum", 0),
        ("IP110", {"warranty-year": 2}, {"warranty-year": 3}, "maximum", 2),
        ("IP6000", {"pbx7-slave": 1}, {"pbx7-100": 1}, "floating_excludes_pbx", 0),
        ("IP6000", {"pbx7-slave": 1}, {"port8": 1}, "floating_excludes_pbx", 0),
        ("IP6000", {}, {"pbx7-slave": 1}, "floating_by_its_own_request", 0),
    ],
)
def test_these_do_not(model: str, installed: Named, new: Named, rule: str, allowed: int) -> None:
    with pytest.raises(RuleViolationError) as violation:
        check_assignment(MODEL[model], types(installed), types(new))
    assert (violation.value.rule, violation.value.allowed) == (rule, allowed)
    assert violation.value.text


def test_floating_goes_on_an_empty_pbx_only() -> None:
    floating = BY_ID["pbx7-slave"]
    check_floating(MODEL["IP6000"], types({"channels7": 3}), floating)
    with pytest.raises(RuleViolationError, match="excludes it"):
        check_floating(MODEL["IP6000"], types({"pbx6-50": 1}), floating)
    with pytest.raises(RuleViolationError):
        check_floating(MODEL["IP1060"], {}, floating)


def test_consistency_tells_a_base_that_was_taken_back() -> None:
    check_consistency(types(FULL))
    for gone in ("pbx7-100",):
        with pytest.raises(RuleViolationError):
            check_consistency(types({t: n for t, n in FULL.items() if t != gone}))


def test_choices_start_from_the_installed_size() -> None:
    pbx = [t for t in TYPES if t.kind == "pbx" and t.version == 7 and (t.size or 0) <= 50]
    assert choices(pbx, 0) == ["pbx7-10", "pbx7-20", "pbx7-30", "pbx7-50"]
    assert choices(pbx, 30) == ["pbx7-50-from-30"]


steps = st.lists(st.sampled_from([t for t in TYPES if t.version == 7 and t.category == "pbx"]), max_size=12)


@given(steps, st.data())
def test_whatever_is_accepted_step_by_step_is_consistent(chosen: list[LicenseType], data: st.DataObject) -> None:
    installed: dict[LicenseType, int] = {}
    for license_type in chosen:
        quantity = 1 if license_type.is_size else data.draw(st.integers(1, 2500))
        try:
            check_assignment(MODEL["IP6000"], installed, {license_type: quantity})
        except RuleViolationError:
            continue
        installed[license_type] = installed.get(license_type, 0) + quantity
        check_consistency(installed)
        size = size_of(installed, "pbx", 7)
        assert sum(n for t, n in installed.items() if t.kind == "registrations") <= size
        for kind in ("voicemail", "standby"):
            assert size_of(installed, kind, 7) in (0, size)


names = st.sampled_from(["a", "b", "c"])


@given(
    st.dictionaries(names, st.integers(1, 50), min_size=1),
    st.dictionaries(st.tuples(st.sampled_from("pqrs"), names), st.integers(0, 40)),
    st.lists(st.sampled_from("pqrs"), min_size=1, max_size=6),
)
def test_draws_come_from_the_listed_projects_in_their_order(
    needed: dict[str, int], stock: dict[tuple[str, str], int], projects: list[str]
) -> None:
    draws, missing = plan_draws(needed, stock, projects)
    order = list(dict.fromkeys(projects))
    for license_type, quantity in needed.items():
        paid = [draw for draw in draws if draw.license_type == license_type]
        assert sum(draw.quantity for draw in paid) + missing.get(license_type, 0) == quantity
        assert [draw.project_id for draw in paid] == [p for p in order if p in {draw.project_id for draw in paid}]
        for draw in paid[:-1]:
            assert draw.quantity == stock[(draw.project_id, license_type)]
        if license_type in missing:
            assert all(
                sum(d.quantity for d in paid if d.project_id == p) == stock.get((p, license_type), 0) for p in order
            )
    assert all(0 < draw.quantity <= stock.get((draw.project_id, draw.license_type), 0) for draw in draws)
