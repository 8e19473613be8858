"""What logins cost others, and what a token costs: a minute of logins beside reads, and the check of a token alone."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from statistics import quantiles

import jwt

from services.chassis.keys.keystore import KeyStore
from services.chassis.keys.tokens import AUDIENCE, ISSUER, TYPE, TokenVerifier
from tests.bench.fleet import Fleet
from tests.integration.http_client import Person

LOGINS_PER_SECOND = 20
READS_PER_SECOND = 30
LOGIN_SECONDS = int(os.environ.get("BENCH_LOGIN_SECONDS", "60"))


class Pace:
    """Lets several threads work at a common rate.

    Args:
        per_second: how often work begins.
        seconds: for how long.
    """

    def __init__(self, per_second: float, seconds: float) -> None:
        self._step = 1.0 / per_second
        self._next = time.monotonic()
        self._end = self._next + seconds
        self._lock = threading.Lock()

    def wait(self) -> bool:
        """Wait for the next turn; returns False when the time is over."""
        with self._lock:
            turn = self._next
            self._next += self._step
        if turn >= self._end:
            return False
        time.sleep(max(0.0, turn - time.monotonic()))
        return True


def p95_of_reads(fleet: Fleet, seconds: float) -> float:
    """Return the 95th percentile in ms of balance reads at a steady rate."""
    pace, times = Pace(READS_PER_SECOND, seconds), []
    token = fleet.token()

    def read() -> None:
        person = Person(fleet.base)
        person.session.headers["Authorization"] = f"Bearer {token}"
        while pace.wait():
            started = time.perf_counter()
            person.get("/v1/balance").expect(200)
            times.append(1000 * (time.perf_counter() - started))

    _together([read] * 8)
    return quantiles(times, n=20)[-1]


def p95_beside_logins(fleet: Fleet, seconds: float) -> tuple[float, float]:
    """Return the same while people log in, and how many logins per second were done."""
    pace, done = Pace(LOGINS_PER_SECOND, seconds), []
    account = fleet.installation.demo["admin"]
    found = []

    def login() -> None:
        while pace.wait():
            Person(fleet.base).login(account["email"], account["password"])
            done.append(1)

    _together([login] * 12 + [lambda: found.append(p95_of_reads(fleet, seconds))])
    return found[0], len(done) / seconds


def seconds_per_token(keys: KeyStore, rounds: int = 2000) -> float:
    """Return how long the check of a token takes that this process has seen before, as nearly all have been."""
    key = keys.active("bench", "Ed25519")
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "u", "sid": "s", "jti": "j", "iat": now, "exp": now + 900}
    token = jwt.encode(claims, key.private, algorithm="EdDSA", headers={"kid": key.kid, "typ": TYPE})
    verifier = TokenVerifier(lambda: keys.public_jwks("bench", "Ed25519"))
    verifier.verify(token)
    started = time.perf_counter()
    for _ in range(rounds):
        verifier.verify(token)
    return (time.perf_counter() - started) / rounds


def _together(work: Sequence[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
