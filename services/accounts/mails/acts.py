"""What was done and when, in words of our own: a mail about an act tells no name and nothing that anybody typed."""

from datetime import UTC, datetime
from typing import Final

ACTS: Final[dict[str, dict[str, str]]] = {
    "service_account_created": {"en": "A service account was created.", "de": "Ein Dienstkonto wurde angelegt."},
    "service_account_ended": {
        "en": "A service account was ended, with all its tokens.",
        "de": "Ein Dienstkonto wurde beendet, mit allen seinen Tokens.",
    },
    "service_token_created": {
        "en": "A token of a service account was created.",
        "de": "Ein Token eines Dienstkontos wurde angelegt.",
    },
    "service_token_revoked": {
        "en": "A token of a service account was withdrawn.",
        "de": "Ein Token eines Dienstkontos wurde zurückgezogen.",
    },
    "api_token_created": {"en": "An API token was created.", "de": "Ein API-Token wurde angelegt."},
    "api_token_deleted": {"en": "An API token was deleted.", "de": "Ein API-Token wurde gelöscht."},
    "otp_demand_on": {
        "en": "A second factor is demanded from now on.",
        "de": "Ein zweiter Faktor wird von jetzt an verlangt.",
    },
    "otp_demand_off": {
        "en": "A second factor is no longer demanded.",
        "de": "Ein zweiter Faktor wird nicht mehr verlangt.",
    },
}
_WHEN: Final = {"en": "This happened on %Y-%m-%d at %H:%M UTC.", "de": "Das geschah am %d.%m.%Y um %H:%M Uhr (UTC)."}


def told(act: str, language: str, moment: datetime) -> str:
    """Return the sentences that tell an act and its time.

    Args:
        act: key of `ACTS`.
        language: `en` or `de`.
        moment: when it was done.
    """
    return f"{ACTS[act][language]} {moment.astimezone(UTC).strftime(_WHEN[language])}"
