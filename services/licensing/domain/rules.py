"""Which licenses go together on a device (LIC-2, LIC-4). Stock, rights and prices do not belong here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.licensing.domain.catalogue import (
    COUNT,
    FLOATING,
    PBX,
    PBX_SIZE,
    REGISTRATIONS,
    SAME_SIZE_AS_PBX,
    DeviceType,
    LicenseType,
)

Licenses = Mapping[LicenseType, int]
"""License type -> how many of it."""


class RuleViolationError(Exception):
    """Licenses do not go together on a device.

    Args:
        rule: name as published.
        text: one sentence with the numbers and what to do.
        license_type: id of the license type that breaks the rule.
        allowed: the quantity, or for sizes the size, that would have been accepted.
        numbers: further figures by name.
    """

    def __init__(self, rule: str, text: str, license_type: str, allowed: int, **numbers: int) -> None:
        super().__init__(rule, text)
        self.rule = rule
        self.text = text
        self.license_type = license_type
        self.allowed = allowed
        self.numbers = numbers


def check_assignment(device_type: DeviceType, installed: Licenses, new: Licenses) -> None:
    """Refuse new licenses that do not go together with each other and what is installed.

    Args:
        device_type: of the device.
        installed: what is on the device now.
        new: what is to be added.

    Raises:
        RuleViolationError: the first rule that is broken, in the order of the published list.
    """
    for license_type, quantity in new.items():
        _check_form(license_type, quantity)
    _check_floating(installed, new)
    total = dict(installed)
    for license_type, quantity in new.items():
        total[license_type] = total.get(license_type, 0) + quantity
    for version, kind in sorted({(t.version or 0, t.kind) for t in new if t.is_size}):
        _chain(total, kind, version)
    for license_type, quantity in new.items():
        _check_maximum(device_type, license_type, installed.get(license_type, 0), quantity)
    for version in sorted({t.version for t in new if t.category == PBX and t.version is not None}):
        _check_version(total, version, installed)


def check_consistency(installed: Licenses) -> None:
    """Refuse a device whose licenses do not go together, as after a base license alone was taken back.

    Raises:
        RuleViolationError: the first rule that is broken.
    """
    for version in sorted({t.version for t in installed if t.category == PBX and t.version is not None}):
        _check_version(installed, version, installed)


def check_floating(device_type: DeviceType, installed: Licenses, floating: LicenseType) -> None:
    """Refuse a floating license on a device that has PBX licenses or cannot be a PBX (LIC-4).

    Raises:
        RuleViolationError: `floating_excludes_pbx` or `maximum`.
    """
    for license_type in installed:
        if license_type.category == PBX and license_type.kind != FLOATING:
            raise RuleViolationError(
                "floating_excludes_pbx",
                f"{license_type.name} is on the device, and a floating license excludes it: take it back first.",
                floating.id,
                0,
            )
    _check_maximum(device_type, floating, 0, 1)


def size_of(licenses: Licenses, kind: str, version: int) -> int:
    """Return the size that base and upgrades of a kind and version add up to, 0 without a complete chain."""
    try:
        return _chain(licenses, kind, version)
    except RuleViolationError:
        return 0


def choices(kinds: Iterable[LicenseType], size: int) -> list[str]:
    """Return the ids of those base or upgrade licenses that are possible at an installed size, by size."""
    fitting = [t for t in kinds if (t.from_size or 0) == size]
    return [t.id for t in sorted(fitting, key=lambda t: t.size or 0)]


def _check_form(license_type: LicenseType, quantity: int) -> None:
    if license_type.kind == FLOATING:
        raise RuleViolationError(
            "floating_by_its_own_request",
            f"{license_type.name} is a floating license: set it as the floating license of the device.",
            license_type.id,
            0,
            requested=quantity,
        )
    if license_type.is_size and quantity != 1:
        raise RuleViolationError(
            "one_unit",
            f"{license_type.name} is a single unit, not {quantity}: take 1 of the size that you need.",
            license_type.id,
            1,
            requested=quantity,
        )


def _check_floating(installed: Licenses, new: Licenses) -> None:
    floating = next((t for t in installed if t.kind == FLOATING), None)
    if floating is None:
        return
    for license_type in new:
        if license_type.category == PBX:
            raise RuleViolationError(
                "floating_excludes_pbx",
                f"The device has the floating license {floating.name}, which excludes {license_type.name}: "
                "remove the floating license first.",
                license_type.id,
                0,
            )


def _chain(licenses: Licenses, kind: str, version: int) -> int:
    parts = [t for t in licenses if t.kind == kind and t.version == version and t.is_size]
    bases = [t for t in parts if t.from_size is None]
    if sum(licenses[t] for t in bases) > 1:
        smallest = min(bases, key=lambda t: t.size or 0)
        largest = max(bases, key=lambda t: t.size or 0)
        raise RuleViolationError(
            "one_base",
            f"The device can hold one base license of its kind, and {largest.name} would come to {smallest.name}: "
            "take an upgrade license to get a larger size.",
            largest.id,
            0,
        )
    size = bases[0].size or 0 if bases else 0
    for upgrade in sorted((t for t in parts if t.from_size is not None), key=lambda t: (t.from_size or 0, t.size or 0)):
        if upgrade.from_size != size or licenses[upgrade] != 1:
            raise RuleViolationError(
                "upgrade_needs_base",
                f"{upgrade.name} upgrades the size {upgrade.from_size}, and the device has {size or 'none'}: "
                + (f"take the license that starts from {size}." if size else "take the base license first."),
                upgrade.id,
                size,
            )
        size = upgrade.size or 0
    return size


def _check_maximum(device_type: DeviceType, license_type: LicenseType, installed: int, quantity: int) -> None:
    maximum = device_type.maximum(license_type)
    if maximum is None:
        return
    if license_type.is_size:
        if (license_type.size or 0) > maximum:
            raise RuleViolationError(
                "maximum",
                f"{license_type.name} is larger than {maximum}, the most for the type {device_type.id}: take a "
                "smaller size.",
                license_type.id,
                maximum,
                requested=license_type.size or 0,
                maximum=maximum,
            )
        return
    if installed + quantity > maximum:
        allowed = max(0, maximum - installed)
        raise RuleViolationError(
            "maximum",
            f"The type {device_type.id} holds at most {maximum} {license_type.name}; {installed} are installed and "
            f"{quantity} are to be added: take at most {allowed}.",
            license_type.id,
            allowed,
            requested=quantity,
            installed=installed,
            maximum=maximum,
        )


def _check_version(total: Licenses, version: int, installed: Licenses) -> None:
    pbx = _chain(total, PBX_SIZE, version)
    for kind in SAME_SIZE_AS_PBX:
        parts = [t for t in total if t.kind == kind and t.version == version and t.is_size]
        if not parts:
            continue
        size = _chain(total, kind, version)
        if size != pbx:
            largest = max(parts, key=lambda t: t.size or 0)
            title = largest.name.partition("#")[0]
            raise RuleViolationError(
                "same_size_as_pbx",
                f"{title} would have the size {size} and the PBX license of version {version} the size "
                f"{pbx or 'none'}: choose both of the same size.",
                largest.id,
                pbx,
                size=size,
                pbx_size=pbx,
            )
    for license_type in total:
        if license_type.kind == REGISTRATIONS and license_type.version == version and license_type.measure == COUNT:
            _check_registrations(license_type, pbx, total[license_type], installed.get(license_type, 0))


def _check_registrations(license_type: LicenseType, pbx: int, total: int, installed: int) -> None:
    if total <= pbx:
        return
    allowed = max(0, pbx - installed)
    raise RuleViolationError(
        "registrations_within_pbx",
        f"{total} {license_type.name} are more than the PBX license of size {pbx}; {installed} are installed: "
        f"take at most {allowed} or a larger PBX license."
        if pbx
        else f"{license_type.name} need a PBX license of version {license_type.version} of that size: take it too.",
        license_type.id,
        allowed,
        requested=total - installed,
        installed=installed,
        pbx_size=pbx,
    )
