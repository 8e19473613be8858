"""The language of an answer: the best of those we write, by the client's Accept-Language (RFC 9110, 12.5.4)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

LANGUAGES: Final = ("en", "de")
# A header as long as this names no language that matters; reading 16 kB of them would take 30 ms.
_MOST_CHARACTERS: Final = 5000
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")


@lru_cache(maxsize=64)
def choose_language(accept: str) -> str:
    """Return the best of our languages for an Accept-Language header (RFC 9110, 12.5.4), English when none fits.

    A region does not matter (`de-AT`), `*` stands for each language that is not named and comes after those named with
    the same weight, and `q=0` refuses one. A language whose weight is none is passed over; nothing in the header is an
    error.

    Args:
        accept: the header as it came; empty when there was none.
    """
    asked = [(tag.partition(";")[0].partition("-")[0].strip().lower(), q) for tag, q in _parsed(accept)]
    named = {language for language, _ in asked}
    # Of equal weights the one that is named first wins; sorting keeps their order.
    for language, weight in sorted(asked, key=lambda one: -one[1]):
        if weight <= 0:
            break
        if language in LANGUAGES:
            return language
        if language == "*" and (others := [one for one in LANGUAGES if one not in named]):
            return others[0]
    return LANGUAGES[0]


def _parsed(accept: str) -> LanguageAccept:
    # The parser takes digits of any script for a weight; only ASCII has a meaning here, and a letter is no weight.
    return parse_accept_header(_NOT_ASCII.sub("x", accept[:_MOST_CHARACTERS]), LanguageAccept)
