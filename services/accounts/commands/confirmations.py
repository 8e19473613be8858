"""A person who is logged in proves once more who they are, before an act that needs a recent login (ACC-13)."""

from collections.abc import Mapping
from typing import Any

from services.accounts import api
from services.accounts.access import own_account
from services.accounts.api import Actor, needs
from services.accounts.commands import logins
from services.accounts.commands.attempts import answer_or_raise
from services.accounts.commands.exchanges import moved_access
from services.accounts.commands.proving import password_wrong
from services.accounts.kit import Access, Kit
from services.accounts.store import people, sessions
from services.chassis.context import Call
from services.chassis.data.db import Database, Unit
from services.chassis.errors import ServiceError, invalid, unauthenticated
from services.chassis.service.declare import command


@command(
    request=api.ConfirmSessionRequest,
    answer=api.AccessToken,
    needs=(needs.PERSON, needs.ENROLMENT),
    raises=(
        "accounts.password_wrong",
        "accounts.otp_needed",
        "accounts.otp_wrong",
        "accounts.locked",
        "accounts.session_ended",
        "accounts.user_not_found",
        "accounts.too_many_attempts",
    ),
    emits=("login_failed",),
)
def confirm_session(database: Database, call: Call, request: Mapping[str, Any], kit: Kit) -> Access:
    """Take the password, and a code where there is a second factor, and give a token whose login is recent again.

    It is counted like a login and by the same counters (S3), so that a stolen session guesses no more than a stranger.
    """
    actor = Actor.of(call)
    person = database.read(lambda connection: own_account(connection, actor))
    login = logins.begin(database, call, person.email, request.get("client_address"))
    fits = kit.hasher.verify(person.password_hash, request["password"])

    def work(unit: Unit) -> Access | ServiceError:
        user = people.locked_by_id(unit, actor.user_id)
        if user is None or not fits or user.password_hash != person.password_hash:
            logins.refuse(unit, login, "confirmation")
            return password_wrong()
        if user.otp_confirmed_at is not None:
            if not request["otp"]:
                return invalid("accounts.otp_needed", "Your account has a second factor: send its code as `otp`.")
            refusal = logins.check_code(unit, kit, user, login, request["otp"])
            if refusal is not None:
                if refusal.kind == "limited":
                    return refusal
                return invalid("accounts.otp_wrong", "The code is wrong or was used before: wait for the next one.")
        logins.forgive(unit, login)
        session = sessions.by_id(unit.connection, actor.session_id)
        if session is None or not session.lives(unit.now):
            return unauthenticated("accounts.session_ended", "The session of this token was ended: log in again.")
        sessions.change(unit, session.id, authenticated_at=unit.now)
        return moved_access(unit, actor, None, kit)

    return answer_or_raise(database.write(work, call=call))
