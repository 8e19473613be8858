"""Where throw-away files of tests lie: in memory if there is room, so that syncing a disk is not what tests wait for.

A killed process or node loses nothing of it, as on a disk; only a power cut would, and no test cuts the power. The
servers keep their settings (rule D6), only what is below them is quicker. Measurements stay on a disk.
"""

import shutil
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ROOM = 4 * 2**30


def scratch() -> Path:
    """Return the folder for throw-away files: memory with 4 GiB free, else the disk's."""
    if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ROOM:
        return _MEMORY
    return Path("/var/tmp")
