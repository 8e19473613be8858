"""Public keys pinned by the installation: a file for each, written by who holds the private half, read by the others.

Nobody is asked over the bus for the keys that check a signature, since whoever answers would be believed (rule S26).
The files are `<public key folder>/<service>/<purpose>.json`, JWK sets (RFC 7517), so that a service can be given its
own subfolder to write and those of the others to read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import structlog

from services.chassis.errors import unavailable
from services.chassis.keys.keyfiles import write_private

_OTHERS_MAY_WRITE: Final = 0o022
_log = structlog.get_logger(__name__)


def write_pins(path: Path, keys: Iterable[Mapping[str, Any]]) -> None:
    """Write a JWK set by rename into place, so that nobody reads half of it; nothing happens when it says so already.

    Args:
        path: of the file; its folder is made with mode 0700 when missing.
        keys: public keys as JWKs; private parts are a mistake of the caller.
    """
    content = json.dumps({"keys": [dict(key) for key in keys]}, indent=1).encode()
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(path, content)


class PinnedKeys:
    """Gives the keys of one file, read anew when the file has changed; what was good stays until something good comes.

    Args:
        path: of the JWK set.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: list[dict[str, Any]] | None = None
        self._told = ""

    def __call__(self) -> list[dict[str, Any]]:
        """Return the public keys as JWKs.

        Raises:
            service.unavailable: the file is not there yet, or it cannot be believed and none before it could.
        """
        problem = self._look()
        if problem and problem != self._told:
            _log.error("pinned_keys_missing", file=str(self._path), reason=problem)
        self._told = problem
        if self._keys is None:
            raise unavailable(detail="The keys that check signatures are not there yet; try again in a moment.")
        return self._keys

    def _look(self) -> str:
        """Read the file if it has changed; return what is wrong with it, empty when nothing is."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return "not there: its owner writes it at its start; is TESSERA_PUBLIC_KEY_DIR the same for both?"
        seen = (status.st_mtime_ns, status.st_ino, status.st_size)
        if seen == self._seen:
            return self._told
        if status.st_mode & _OTHERS_MAY_WRITE:
            return f"mode {status.st_mode & 0o777:03o}: others may write it, so it is not believed; chmod go-w"
        try:
            keys = json.loads(self._path.read_bytes())["keys"]
            self._keys = [dict(key) for key in keys if isinstance(key["kid"], str)]
        except (ValueError, KeyError, TypeError) as error:
            return f"not a JWK set: {type(error).__name__}"
        self._seen = seen
        return ""
