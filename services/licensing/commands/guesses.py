"""Wrong activation keys are counted for the person and the company, one guess after the other (S3).

The look-up and its count are one transaction that holds the rows of both guessers, so that many guesses at once are
told no more than the limit allows. What a right key does belongs to `keys`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from services.accounts.api import Actor, seconds_to_wait
from services.chassis.answers import Answer
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, limited
from services.chassis.ids import new_id
from services.chassis.service.running import answered
from services.licensing.domain.activation_keys import MistypedKeyError, digest_of_key, parse_key
from services.licensing.store import keys

WINDOW: Final = timedelta(hours=1)
MOST_PER_USER: Final = 10
"""Wrong keys that one user may enter in an hour (S3)."""
MOST_PER_COMPANY: Final = 30
"""Wrong keys that all users of a company may enter in an hour (S3)."""


def count_guess(database: Database, call: Call, request: Mapping[str, Any]) -> Answer | None:
    """Count the key of a request when nobody ever gave it out, before anybody is told so.

    A repetition is counted once, and gets the answer of the first time even at the limit.

    Args:
        database: of licensing.
        call: of the person.
        request: loaded by `ActivateRequest`.

    Returns:
        The answer that this very request got before, None where it is to be worked on.

    Raises: licensing.too_many_keys_tried, and for a repetition whatever was answered then.
    """
    actor = Actor.of(call)
    # A rehearsal has no claim that would make its repetition harmless, so each one is a guess of its own.
    command_id = new_id() if request["dry_run"] else call.command_id
    parts = "\0".join((actor.user_id, command_id, str(request["key"])))
    guess = hashlib.sha256(parts.encode(errors="surrogatepass")).hexdigest()

    def work(unit: Unit) -> ServiceError | None:
        keys.lock_guessers(unit.connection, [one for one in (actor.user_id, actor.company_id) if one])
        if keys.has_attempt(unit.connection, guess):
            return None
        refusal = _too_many(unit, actor)
        if refusal is None and not _is_known(unit, request["key"]):
            keys.note_attempt(unit.connection, guess, user_id=actor.user_id, company_id=actor.company_id, now=unit.now)
        return refusal

    refusal = database.write(work, call=call)
    if refusal is None:
        return None
    answer = None if request["dry_run"] else answered(database, call, request)
    if answer is None:
        raise refusal
    return answer


def _is_known(unit: Unit, text: str) -> bool:
    try:
        return keys.find_key(unit.connection, digest_of_key(parse_key(text))) is not None
    except MistypedKeyError:
        return False


def _too_many(unit: Unit, actor: Actor) -> ServiceError | None:
    since = unit.now - WINDOW
    mine = keys.attempts_since(unit.connection, since, user_id=actor.user_id)
    ours = keys.attempts_since(unit.connection, since, company_id=actor.company_id) if actor.company_id else []
    tried = ((mine, MOST_PER_USER), (ours, MOST_PER_COMPANY))
    seconds = max(seconds_to_wait(times, most, WINDOW, unit.now) for times, most in tried)
    if not seconds:
        return None
    return limited(
        "licensing.too_many_keys_tried",
        f"Too many wrong keys were entered in the last hour; try again in {-(-seconds // 60)} minutes.",
        retry_after=seconds,
    )
