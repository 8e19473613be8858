"""Values of the catalogue: license types, device types and what a device of a type can hold at most.

The shipped values are data (`catalogue.json`); this module only says what they mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

SIZE: Final = "size"
COUNT: Final = "count"

PBX: Final = "pbx"
GATEWAY: Final = "gateway"
DEVICE: Final = "device"

PBX_SIZE: Final = "pbx"
FLOATING: Final = "floating"
REGISTRATIONS: Final = "registrations"
SAME_SIZE_AS_PBX: Final = ("voicemail", "standby")
"""Kinds that must have the size of the PBX license wherever they are a size (LIC-2)."""

LIMITS: Final = ("pbx", "channels", "bris", "pris", "gatekeeper", "warranty", "ssa")


@dataclass(frozen=True, slots=True)
class LicenseType:
    """A license type of the catalogue.

    Args:
        id: URL-safe, such as `pbx7-100-from-50`.
        name: as the trade writes it, such as `PBX7#100@50`.
        version: firmware generation, None where it does not matter.
        kind: groups sizes and versions of the same thing, such as `voicemail`.
        measure: `size` (one unit, total size n) or `count`.
        category: `pbx`, `gateway` or `device`.
        size: n of `#n`, None for counts.
        from_size: m of `#n@m`, None for what is no upgrade.
        limit: which maximum of the device type bounds it; None for unbounded.
        cap: bound of the type itself, such as 20 for `PORT8*20`; None without.
        returnable: whether the device may give it back (LIC-8).
        movable: whether it moves to another device (LIC-9).
        from_stock: whether it costs one from the balance; a floating license does not, as shipped (LIC-4).
    """

    id: str
    name: str
    version: int | None
    kind: str
    measure: str
    category: str
    size: int | None = None
    from_size: int | None = None
    limit: str | None = None
    cap: int | None = None
    returnable: bool = False
    movable: bool = True
    from_stock: bool = True

    def __hash__(self) -> int:
        # Types are keys of many small dictionaries; the id alone tells them apart within a catalogue.
        return hash(self.id)

    @property
    def is_size(self) -> bool:
        """Whether it is a base or upgrade license, which is one unit."""
        return self.measure == SIZE


@dataclass(frozen=True, slots=True)
class DeviceType:
    """A model: its family, months of base warranty and maxima by limit name."""

    id: str
    category: str
    warranty_months: int
    maxima: Mapping[str, int]
    origin: str = "default"

    def maximum(self, license_type: LicenseType) -> int | None:
        """Return the most of a license type on such a device (a size for sizes), None where nothing bounds it."""
        bounds = [
            bound
            for bound in (self.maxima.get(license_type.limit, 0) if license_type.limit else None, license_type.cap)
            if bound is not None
        ]
        return min(bounds) if bounds else None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One state of the catalogue.

    Args:
        license_types: by id, in the order in which lists show them.
        device_types: by id.
        offered: versions that new licenses are made for.
        revision: counts the edits.
    """

    license_types: Mapping[str, LicenseType]
    device_types: Mapping[str, DeviceType]
    offered: frozenset[int]
    revision: int = 1
    _floating: dict[int, LicenseType] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        license_types: Iterable[LicenseType],
        device_types: Iterable[DeviceType],
        offered: Iterable[int],
        revision: int = 1,
    ) -> Catalogue:
        """Build a catalogue from its rows."""
        types = {license_type.id: license_type for license_type in license_types}
        floating = {t.version: t for t in types.values() if t.kind == FLOATING and t.version is not None}
        models = {device_type.id: device_type for device_type in device_types}
        return cls(types, models, frozenset(offered), revision, floating)

    def is_offered(self, license_type: LicenseType) -> bool:
        """Return whether new licenses of the type are made at present."""
        return license_type.version is None or license_type.version in self.offered

    def floating(self, version: int) -> LicenseType | None:
        """Return the floating license of a version, None where there is none."""
        return self._floating.get(version)

    def versions(self) -> frozenset[int]:
        """Return all versions that license types exist for."""
        return frozenset(t.version for t in self.license_types.values() if t.version is not None)


def expand(data: Mapping[str, Any]) -> tuple[list[LicenseType], list[DeviceType], dict[int, bool]]:
    """Return license types, device types and versions (with their switch) of the shipped data file.

    Args:
        data: the content of `catalogue.json`.
    """
    types = []
    for version in data["sized_versions"]:
        for kind in data["sized"]:
            types += _sized(kind, version, data["sizes"])
        types += [_counted(entry, version) for entry in data["counted"]]
    types += [_counted(entry, entry.get("version")) for entry in data["others"]]
    models = [
        DeviceType(
            model,
            row["category"],
            row.get("warranty_months", data["warranty_months"]),
            {**data["maxima"], **row["maxima"]},
        )
        for model, row in data["device_types"].items()
    ]
    return types, models, {int(version): bool(offered) for version, offered in data["versions"].items()}


def _sized(kind: Mapping[str, Any], version: int, sizes: list[int]) -> list[LicenseType]:
    stem, title = f"{kind['kind']}{version}", f"{kind['title']}{version}"
    common: dict[str, Any] = {
        "version": version,
        "kind": kind["kind"],
        "measure": SIZE,
        "category": PBX,
        "limit": PBX_SIZE,
    }
    bases = [LicenseType(f"{stem}-{size}", f"{title}#{size}", size=size, **common) for size in sizes]
    upgrades = [
        LicenseType(f"{stem}-{size}-from-{start}", f"{title}#{size}@{start}", size=size, from_size=start, **common)
        for size in sizes
        for start in sizes
        if start < size
    ]
    return bases + upgrades


def _counted(entry: Mapping[str, Any], version: int | None) -> LicenseType:
    digit = "" if version is None else str(version)
    return LicenseType(
        id=entry["id"].replace("{v}", digit),
        name=entry["name"].replace("{v}", digit),
        version=version,
        kind=entry["kind"],
        measure=COUNT,
        category=entry["category"],
        limit=entry.get("limit"),
        cap=entry.get("cap"),
        returnable=entry.get("returnable", False),
        movable=entry.get("movable", True),
        from_stock=entry.get("from_stock", True),
    )
