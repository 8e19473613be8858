"""What the nameko class of accounts works with: hashing beside the event loop, mails, and the sweeping of old rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import eventlet
import structlog
from eventlet import tpool
from eventlet.event import Event
from eventlet.semaphore import Semaphore
from nameko.extensions import DependencyProvider

from services.accounts.commands.company_imports import LATE, watch_imports
from services.accounts.commands.notices import send_held
from services.accounts.kit import TOKENS, Argon2Hasher, Hasher, Kit
from services.accounts.mails.sender import post_for, send_due
from services.accounts.store import mails
from services.accounts.store.housekeeping import sweep_all
from services.chassis.data.db import Database
from services.chassis.errors import ServiceError
from services.chassis.service.providers import DatabaseExtension

AT_ONCE: Final = 2
"""Passwords hashed at the same time: each one takes a core and 46 MiB (S1)."""
MAIL_POLL_SECONDS: Final = 0.5
SWEEP_SECONDS: Final = 600.0
WATCH_SECONDS: Final = 30.0

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class GreenHasher:
    """Hashes in real threads, so that the event loop goes on, at most two at once.

    Args:
        hasher: does the work.
    """

    def __init__(self, hasher: Hasher) -> None:
        """Wrap a hasher."""
        self._hasher = hasher
        self._gate = Semaphore(AT_ONCE)

    def hash(self, password: str) -> str:
        """Return a PHC string of the password."""
        return self._run(self._hasher.hash, password)

    def verify(self, stored: str | None, password: str) -> bool:
        """Return whether the password fits; None costs the same time and never fits."""
        return self._run(self._hasher.verify, stored, password)

    def is_outdated(self, stored: str) -> bool:
        """Return whether the string was made with other costs than today's."""
        return self._hasher.is_outdated(stored)

    def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        with self._gate:
            result: T = tpool.execute(work, *arguments)
            return result


class KitProvider(DependencyProvider):
    """Gives workers the hasher and the keys of this process."""

    holder = DatabaseExtension()

    def setup(self) -> None:
        """Make the kit once; the hash that stands for unknown users is made here."""
        keys = self.holder.database.keystore
        assert keys is not None
        # Before the first token is signed, and again at each start: the others read the file and ask nobody (S26).
        keys.publish(TOKENS, "Ed25519")
        self._kit = Kit(GreenHasher(Argon2Hasher()), keys, self.holder.settings.staff_otp)

    def get_dependency(self, worker_ctx: Any) -> Kit:
        """Return the kit."""
        return self._kit


class Loop(DependencyProvider):
    """Repeats work until the container stops; a failure is logged and the work tried again."""

    holder = DatabaseExtension()
    seconds: float

    def start(self) -> None:
        """Start the loop's green thread."""
        self._stopped = Event()
        self.container.spawn_managed_thread(self._loop, identifier=type(self).__name__)

    def stop(self) -> None:
        """Let the loop end after the work in hand."""
        if not self._stopped.ready():
            self._stopped.send(True)

    def work(self, database: Database) -> None:
        """Do what is to be done now."""
        raise NotImplementedError

    def _loop(self) -> None:
        while not self._stopped.ready():
            try:
                self.work(self.holder.database)
            except ServiceError as error:
                _log.warning("loop_delayed", loop=type(self).__name__, code=error.code)
            except Exception:  # noqa: BLE001 - logged whole, and tried again
                # Neither a mail nor an old row may ever end the service that logs people in.
                _log.exception("loop_failed", loop=type(self).__name__)
            self._stopped.wait(timeout=self.seconds)


class MailLoop(Loop):
    """Sends the mails that are due."""

    seconds = MAIL_POLL_SECONDS

    def setup(self) -> None:
        """Choose files or SMTP by the settings."""
        settings = self.holder.settings
        self._post = post_for(settings)
        self._public_url = settings.public_url

    def work(self, database: Database) -> None:
        """Send until nothing is due; a look that finds nothing takes no write lock."""
        assert database.keystore is not None
        while not self._stopped.ready() and database.read(mails.is_due):
            if not send_due(database, database.keystore, self._post, self._public_url):
                return
            eventlet.sleep(0)


class SweepLoop(Loop):
    """Deletes rows that nobody needs any more, and queues mails that were held back."""

    seconds = SWEEP_SECONDS

    def work(self, database: Database) -> None:
        """Sweep once."""
        sweep_all(database)
        keys = database.keystore
        assert keys is not None
        database.write(lambda unit: send_held(unit, keys))


class ImportLoop(Loop):
    """Watches imports of companies: rooms that are late are told once more, and an alarm is raised."""

    seconds = WATCH_SECONDS

    def work(self, database: Database) -> None:
        """Look once."""
        seconds = watch_imports(database)
        if seconds > LATE.total_seconds():
            _log.error("import_open_too_long", seconds=round(seconds))
