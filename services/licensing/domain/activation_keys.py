"""The format of activation keys (BAL-5): 24 random symbols and one check symbol in five groups of five.

The check is for typists, not for security: every wrong symbol and every swap of two symbols is found without asking
the database. It is a weighted sum over GF(32): all weights differ and none is zero, so one wrong symbol changes the
sum, and so does an exchange of two different symbols, neighbors or not. What a key is worth does not belong here.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""32 letters and digits without the look-alikes I, L, O and U."""
LENGTH: Final = 25
GROUP: Final = 5
_VALUES: Final = {symbol: value for value, symbol in enumerate(ALPHABET)}
_READ_AS: Final = {"O": "0", "I": "1", "L": "1"}
_REDUCTION: Final = 0b100101  # x^5 + x^2 + 1, primitive over GF(2)
_MASK: Final = "*" * GROUP
_SUM: Final = 1  # Not 0, so that a key of 25 zeros is refused.


class MistypedKeyError(ValueError):
    """The text is not an activation key; the message says what is wrong with it, never the key itself."""


def _powers(count: int) -> tuple[int, ...]:
    values, value = [], 1
    for _ in range(count):
        values.append(value)
        value <<= 1
        if value & 0b100000:
            value ^= _REDUCTION
    return tuple(values)


_EXP: Final = _powers(31)
_LOG: Final = {value: exponent for exponent, value in enumerate(_EXP)}
# The check symbol is the last one and has the weight 1; the symbol n places before it has the weight a^n.
_WEIGHT_EXPONENTS: Final = tuple(range(LENGTH - 1, -1, -1))


def _weighted(values: list[int]) -> int:
    total = 0
    for value, exponent in zip(values, _WEIGHT_EXPONENTS, strict=False):
        if value:
            total ^= _EXP[(_LOG[value] + exponent) % 31]
    return total


def new_key() -> str:
    """Return a new key in canonical form: 25 symbols without dashes, 120 bits of them random."""
    values = [secrets.randbelow(32) for _ in range(LENGTH - 1)]
    return complete(values)


def complete(values: list[int]) -> str:
    """Return the key whose first 24 symbols have these values (0 to 31)."""
    if len(values) != LENGTH - 1:
        raise ValueError(f"{len(values)} values were given for a key, expected {LENGTH - 1}.")
    check = _weighted(values) ^ _SUM
    return "".join(ALPHABET[value] for value in (*values, check))


def parse_key(text: str) -> str:
    """Return the canonical form of a key as a person typed it.

    Case, blanks and dashes do not matter; O is read as 0, I and L as 1.

    Raises:
        MistypedKeyError: the length, a character or the check is wrong.
    """
    if not text.isascii():
        raise MistypedKeyError("It holds a character that no key has.")
    symbols = [_READ_AS.get(symbol, symbol) for symbol in text.upper() if symbol not in " -\t\r\n"]
    if len(symbols) != LENGTH:
        raise MistypedKeyError(f"It has {len(symbols)} characters, a key has {LENGTH}.")
    values = [_VALUES.get(symbol, -1) for symbol in symbols]
    if -1 in values:
        raise MistypedKeyError(f"Character {values.index(-1) + 1} is one that no key has.")
    if _weighted(values) != _SUM:
        raise MistypedKeyError("A character is wrong, or two are swapped.")
    return "".join(symbols)


def format_key(key: str) -> str:
    """Return a canonical key as it is printed: five groups with dashes."""
    return "-".join(key[start : start + GROUP] for start in range(0, LENGTH, GROUP))


def masked_key(last_group: str) -> str:
    """Return how a key is shown in lists: only its last group can be read."""
    return "-".join([_MASK] * (LENGTH // GROUP - 1) + [last_group])


def digest_of_key(key: str) -> str:
    """Return what a canonical key is found by: with 120 random bits a plain SHA-256 is enough (S11)."""
    return hashlib.sha256(f"tessera activation key 1\n{key}".encode()).hexdigest()
