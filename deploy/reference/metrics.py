"""The page of all figures: who exports each, what it says, and which should be zero."""

from __future__ import annotations

from typing import Final

from deploy.rooms import GATEWAY, ROOMS, service_class
from services.chassis.metrics import DECLARED, EVERY_PROCESS, PROCESS_FIGURES, Figure

_HEAD: Final = """\
# Metrics

Written by `make reference` from the declarations in the code (`services/chassis/metrics.py` and the rooms); tests
compare this page with them, and with what a running installation and a running process of a fleet export.

`make run` has everything on one page, `/metrics` of the gateway's admin listener (`TESSERA_ADMIN_HTTP`); the label
`room` tells the rooms apart. In a fleet each process has a listener of its own with `/metrics`, `/healthz` and
`/readyz`, on loopback addresses unless `TESSERA_ADMIN_HTTP` says otherwise. Where that names no port, or is not set, a
room takes a free one and tells it: in its log (`admin_listens`) and in `admin/<process>.json` of the data folder, as
Prometheus reads it:

```yaml
scrape_configs:
  - job_name: tessera
    static_configs: [{targets: ["127.0.0.1:8001"]}]
    file_sd_configs: [{files: [".data/admin/*.json"]}]
```

A listener answers for `Host` names that are addresses or stand in `TESSERA_ALLOWED_HOSTS`. No label holds an id, an
e-mail address, a key or a path as it was sent. A room's database is asked for its figures at most every 5 seconds, by
one statement; while it does not answer, figures older than 30 seconds are left out, so watch for absent ones too.
Several processes of a service tell the same figures of their database: take the maximum of those, and the sum of what
each process counts by itself (`_total`, `_count`, `_sum`, `_bucket`). The last column says which figure should be zero,
and what it means when it is not.
"""
_COLUMNS: Final = "| name | kind | labels | what it says | should be zero |\n|---|---|---|---|---|\n"


def declared() -> dict[str, Figure]:
    """Return every figure by its name, those of all roles included."""
    for role in (*ROOMS, GATEWAY):
        service_class(role)
    return DECLARED


def exported_by(role: str) -> set[str]:
    """Return the names of the figures that a process with this role exports."""
    return {f.name for f in declared().values() if f.of in (EVERY_PROCESS, role)} | set(PROCESS_FIGURES)


def render() -> str:
    """Return the page."""
    parts = [_HEAD]
    for owner in (EVERY_PROCESS, GATEWAY, *ROOMS):
        figures = sorted((f for f in declared().values() if f.of == owner), key=lambda figure: figure.name)
        if figures:
            parts.append(f"## {owner.capitalize()}\n\n{_COLUMNS}{''.join(map(_row, figures))}")
    names = ", ".join(f"`{name}`" for name in PROCESS_FIGURES)
    parts.append(f"## The process itself\n\nIn every process, as Prometheus' own library tells them: {names}.\n")
    return "\n".join(parts)


def _row(figure: Figure) -> str:
    labels = ", ".join(f"`{label}`" for label in figure.labels)
    return f"| `{figure.name}` | {figure.kind} | {labels} | {figure.text} | {figure.zero} |\n"
