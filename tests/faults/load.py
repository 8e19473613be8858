"""Load that keeps books: every operation ends acknowledged or refused, and what was acknowledged is known.

The client is the published contract's: a lost answer is asked for again with the same Idempotency-Key.
"""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from itertools import cycle

import requests

from tests.integration.http_client import Person

_ASK_AGAIN = (429, 500, 502, 503, 504)


@dataclass
class Books:
    """What the clients were told."""

    acknowledged: int = 0
    refused: list[str] = field(default_factory=list)
    unknown: int = 0
    repeated: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class AssigningClient(threading.Thread):
    """Assigns one registration at a time, to its devices in turn, until told to stop.

    Args:
        token: access token of the company.
        base: address of the gateway.
        device_ids: the devices; nobody else assigns to them.
        books: shared by all clients.
        patience: seconds for which a lost answer is asked for again.
    """

    def __init__(self, base: str, token: str, device_ids: list[str], books: Books, patience: float = 60.0) -> None:
        super().__init__(daemon=True)
        self.person = Person(base)
        self.person.session.headers["Authorization"] = f"Bearer {token}"
        self.device_ids, self.books, self.patience = cycle(device_ids), books, patience
        self.stopping = threading.Event()

    def run(self) -> None:
        """Work until `stopping` is set; the last operation is brought to its end."""
        while not self.stopping.is_set():
            self._assign_one()

    def _assign_one(self) -> None:
        key, deadline = str(uuid.uuid4()), time.monotonic() + self.patience
        path = f"/v1/devices/{next(self.device_ids)}/licenses"
        body = {"licenses": [{"license_type": "registrations7", "quantity": 1}]}
        while time.monotonic() < deadline:
            try:
                answer = self.person.post(path, body, key=key)
            except requests.RequestException:
                status = 0
            else:
                status = answer.status
                if status == 201:
                    with self.books.lock:
                        self.books.acknowledged += 1
                    return
                if status not in _ASK_AGAIN and not (
                    status == 409 and answer.body["code"] == "idempotency.in_progress"
                ):
                    with self.books.lock:
                        self.books.refused.append(f"{status} {answer.body}")
                    return
            with self.books.lock:
                self.books.repeated += 1
            time.sleep(0.2)
        with self.books.lock:
            self.books.unknown += 1
