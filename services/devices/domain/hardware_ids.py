"""One grammar for hardware ids (MAC and IPEI) and order numbers: every spelling in, one canonical spelling out.

Rules DEV-2, DEV-3 and S14. ASCII only: digits of other scripts are not digits here. Whether
a device with such an id was ever built is not decided here but by the production data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

MAKER_PREFIXES: Final = ("009033", "029033", "809033", "00013E")
DEFAULT_PREFIX: Final = MAKER_PREFIXES[0]
IPEI_MANUFACTURERS: Final = ("00077", "05003")
LARGEST_IPEI_SERIAL: Final = (1 << 20) - 1
MAXIMUM_AT_ONCE: Final = 50
# What an address with a malformed id is read as; never built and never ordered, so it is answered like an unknown one.
NOBODYS_HARDWARE: Final = "00-01-3E-FF-FF-FF"
NOBODYS_NUMBER: Final = "0" * 64
# The longest right spelling has 17 characters; the rest of a longer input is not worth looking at.
_LONGEST_INPUT: Final = 64

_BLANKS: Final = " \t\r\n\v\f"
_TEXT_SEPARATORS: Final = re.compile(r"[ \t\r\n\v\f]+")
_SIX_PAIRS: Final = re.compile(r"[0-9A-F]{2}([-:. ])[0-9A-F]{2}(?:\1[0-9A-F]{2}){4}")
_THREE_PAIRS: Final = re.compile(r"[0-9A-F]{2}([-:. ])[0-9A-F]{2}\1[0-9A-F]{2}")
_THREE_QUADS: Final = re.compile(r"[0-9A-F]{4}\.[0-9A-F]{4}\.[0-9A-F]{4}")
_BARE_MAC: Final = re.compile(r"[0-9A-F]{12}|[0-9A-F]{6}")
_IPEI: Final = re.compile(r"([0-9]{5})[-. ]?([0-9]{7})(?:[-. ]?([0-9*]))?")
_BARE_TWELVE_DIGITS: Final = re.compile(r"[0-9]{12}")
_ORDER_NUMBER: Final = re.compile(r"[A-Z0-9](?:[A-Z0-9 ./_-]{0,62}[A-Z0-9])?")


class MalformedIdError(ValueError):
    """The text is not a hardware id; its message says what is wrong and what is expected."""


class MalformedOrderNumberError(ValueError):
    """The text cannot be an order number; its message says what is expected."""


class RangeError(ValueError):
    """The two ends make no range; `end` names the wrong one, the message says why."""

    def __init__(self, end: Literal["first", "last"], message: str) -> None:
        super().__init__(message)
        self.end = end


class TooManyError(ValueError):
    """A list, range or text holds more ids than may be asked at once; `count` is how many."""

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(f"{count} hardware ids were given; at most {limit} can be handled at once: split them.")
        self.count = count
        self.limit = limit


@dataclass(frozen=True, slots=True)
class HardwareId:
    """A hardware id in its one canonical spelling.

    Args:
        kind: `mac` for boxes and phones, `ipei` for DECT handsets.
        text: `00-90-33-08-20-20` or `00077-0391552-8`.
    """

    kind: Literal["mac", "ipei"]
    text: str

    def __str__(self) -> str:
        return self.text


def parse_hardware_id(text: str) -> HardwareId:
    """Read one hardware id in any spelling of DEV-3.

    Twelve digits without separators can be a MAC or an IPEI without its check character: a maker's MAC prefix is tried
    first, then a known IPEI manufacturer (DEV-3).

    Raises:
        MalformedIdError: no MAC with a maker's prefix and no IPEI of a known manufacturer.
    """
    trimmed = text.strip(_BLANKS)
    if not trimmed:
        raise MalformedIdError("A hardware id is missing here: enter a MAC address or an IPEI.")
    if not trimmed.isascii() or len(trimmed) > _LONGEST_INPUT:
        raise MalformedIdError(_expected())
    upper = trimmed.upper()
    if _BARE_TWELVE_DIGITS.fullmatch(upper) and upper[:6] not in MAKER_PREFIXES:
        return _read_twelve_digits(upper)
    if any(shape.fullmatch(upper) for shape in (_SIX_PAIRS, _THREE_PAIRS, _THREE_QUADS, _BARE_MAC)):
        return _read_mac(re.sub(r"[-:. ]", "", upper))
    if match := _IPEI.fullmatch(upper):
        return _read_ipei(match[1], match[2], match[3])
    raise MalformedIdError(_expected())


def canonical_hardware_id(text: str) -> str:
    """Return the canonical spelling of a hardware id given in any spelling of DEV-3.

    Raises:
        MalformedIdError: the text is not a hardware id.
    """
    return parse_hardware_id(text).text


def ipei_check_character(manufacturer: str, serial: str) -> str:
    """Return the check character of an IPEI: the sum of digit times place, modulo 11, ten written `*`.

    Args:
        manufacturer: five decimal digits.
        serial: seven decimal digits.
    """
    total = sum(place * int(digit) for place, digit in enumerate(manufacturer + serial, start=1))
    return "0123456789*"[total % 11]


def expand_range(first: str, last: str, limit: int = MAXIMUM_AT_ONCE) -> list[str]:
    """List the canonical MAC addresses from `first` to `last`, both included; they are counted before any is made.

    Raises:
        RangeError: an end is malformed or no MAC address, or `last` lies before `first`.
        TooManyError: the range holds more than `limit` addresses.
    """
    start, end = _range_end("first", first), _range_end("last", last)
    if end < start:
        raise RangeError("last", "The last address of the range comes before the first: swap them.")
    count = end - start + 1
    if count > limit:
        raise TooManyError(count, limit)
    # A range never leaves its prefix: two makers' prefixes lie further apart than any permitted count.
    return [_dashed(f"{number:012X}") for number in range(start, end + 1)]


def split_text(text: str, limit: int = MAXIMUM_AT_ONCE) -> list[str]:
    """Split the content of a text file into the ids it holds, separated by blanks or lines, in their order.

    Raises:
        TooManyError: the text holds more than `limit` ids, repetitions counted.
    """
    # Editors of one well-known system begin a UTF-8 file with a byte order mark; it is not part of the first id.
    pieces = [piece for piece in _TEXT_SEPARATORS.split(text.removeprefix("\ufeff")) if piece]
    if len(pieces) > limit:
        raise TooManyError(len(pieces), limit)
    return pieces


def canonical_order_number(text: str) -> str:
    """Return an order number as it is stored: outer blanks cut, upper case.

    Raises:
        MalformedOrderNumberError: not 1 to 64 letters, digits, dots, dashes, slashes, underscores or inner blanks.
    """
    upper = text.strip(_BLANKS).upper() if text.isascii() else ""
    if not _ORDER_NUMBER.fullmatch(upper):
        raise MalformedOrderNumberError(
            "An order number has 1 to 64 letters, digits, dots, dashes, slashes, underscores or spaces between them, "
            "and begins and ends with a letter or digit."
        )
    return upper


def ordered_hardware_id(text: str) -> str:
    """Return the canonical spelling of a device that an order may hold.

    Raises:
        MalformedIdError: not a hardware id, or the one that is reserved for things without one.
    """
    if (found := canonical_hardware_id(text)) == NOBODYS_HARDWARE:
        raise MalformedIdError(f"{NOBODYS_HARDWARE} is reserved for things without an id; a device has another one.")
    return found


def entered_order_number(text: str) -> str:
    """Return the canonical spelling of a number that an order may be entered under.

    Raises:
        MalformedOrderNumberError: no order number, or the one that is kept for addresses without a good one.
    """
    if (found := canonical_order_number(text)) == NOBODYS_NUMBER:
        raise MalformedOrderNumberError("64 zeros are reserved for things without a number; an order has another one.")
    return found


def shown_input(text: str) -> str:
    """Return what somebody typed in a form that is safe to store and to show: printable, at most 64 characters."""
    cut = text if len(text) <= _LONGEST_INPUT else text[: _LONGEST_INPUT - 1] + "…"
    return "".join(character if character.isprintable() else "\ufffd" for character in cut)


def search_key(text: str) -> str:
    """Return the part of an id that somebody typed into a filter, without separators and in upper case."""
    return re.sub(r"[-:. \t]", "", text).upper()


def _range_end(end: Literal["first", "last"], text: str) -> int:
    try:
        parsed = parse_hardware_id(text)
    except MalformedIdError as error:
        raise RangeError(end, str(error)) from error
    if parsed.kind != "mac":
        raise RangeError(end, "A range is made of MAC addresses; enter IPEIs one by one.")
    return int(parsed.text.replace("-", ""), 16)


def _read_twelve_digits(digits: str) -> HardwareId:
    if digits[:5] not in IPEI_MANUFACTURERS:
        raise MalformedIdError(
            f"These twelve digits are neither a MAC address with one of the maker's prefixes ({_prefixes()}) nor an "
            f"IPEI of a known manufacturer ({', '.join(IPEI_MANUFACTURERS)})."
        )
    return _read_ipei(digits[:5], digits[5:], None)


def _read_mac(digits: str) -> HardwareId:
    whole = digits if len(digits) == 12 else DEFAULT_PREFIX + digits
    if whole[:6] not in MAKER_PREFIXES:
        raise MalformedIdError(
            f"{_dashed(whole)} is not a device of this maker: its MAC addresses begin with {_prefixes()}."
        )
    return HardwareId("mac", _dashed(whole))


def _read_ipei(manufacturer: str, serial: str, check: str | None) -> HardwareId:
    if manufacturer not in IPEI_MANUFACTURERS:
        raise MalformedIdError(
            f"{manufacturer} is not a manufacturer of our handsets: their IPEIs begin with "
            f"{' or '.join(IPEI_MANUFACTURERS)}."
        )
    if int(serial) > LARGEST_IPEI_SERIAL:
        raise MalformedIdError(f"The serial number of an IPEI is at most {LARGEST_IPEI_SERIAL:07d}, not {serial}.")
    right = ipei_check_character(manufacturer, serial)
    if check is not None and check != right:
        raise MalformedIdError(
            f"The check character {check} does not fit this IPEI: compare every digit with the label under the battery."
        )
    return HardwareId("ipei", f"{manufacturer}-{serial}-{right}")


def _dashed(digits: str) -> str:
    return "-".join(digits[place : place + 2] for place in range(0, 12, 2))


def _prefixes() -> str:
    return ", ".join(_dashed(prefix)[:8] for prefix in MAKER_PREFIXES)


def _expected() -> str:
    return (
        "This is not a hardware id: write a MAC address such as 00-90-33-08-20-20 (also with colons, with dots or "
        "without separators, or only its last six digits) or an IPEI such as 00077-0391552-8."
    )
