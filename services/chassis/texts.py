"""Texts that people write and other people read: names, references, comments (api.md, "Conventions").

What cannot be seen can make one name look like another, hide a part of it, or turn a line of a list into two.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Final

from marshmallow import ValidationError, fields

# Control characters, marks of direction and of no width, half surrogates, separators of lines and paragraphs.
_UNSEEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Letters and marks without a shape: fillers of Hangul, the joiner of graphemes, vowels of Khmer, an empty braille cell.
_UNSEEN: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_OUTER: Final = re.compile(r"\A[^\S\n\r\v\f\x1c-\x1f\x85\u2028\u2029]+|[^\S\n\r\v\f\x1c-\x1f\x85\u2028\u2029]+\Z")


def unseen_in(text: str, *, but: str = "") -> str | None:
    """Return the first character of a text that cannot be seen, such as `U+202E`; None where there is none."""
    for character in text:
        if character in but:
            continue
        if unicodedata.category(character) in _UNSEEN_CATEGORIES or character in _UNSEEN:
            return f"U+{ord(character):04X}"
    return None


class Text(fields.String):
    """A line that people read: composed (NFC), without outer blanks and characters that cannot be seen.

    Args:
        minimum, maximum: bounds of its length in characters.
        lines: line ends (U+000A) may stand in it; outer ones are taken off.
    """

    def __init__(self, minimum: int = 0, maximum: int = 500, *, lines: bool = False, **kwargs: Any) -> None:
        metadata = {"minLength": minimum, "maxLength": maximum, **kwargs.pop("metadata", {})}
        super().__init__(metadata=metadata, **kwargs)
        self._minimum, self._maximum, self.lines = minimum, maximum, lines

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = str(super()._deserialize(value, attr, data, **kwargs))
        # Bounded before anything walks over it; blanks around it and composing make it at most so much shorter.
        if len(text) > 4 * self._maximum + 100:
            raise self._refusal("long")
        text = text.strip(" \n") if self.lines else text
        text = unicodedata.normalize("NFC", _OUTER.sub("", text))
        if len(text) < self._minimum:
            raise self._refusal("empty" if not text else "short")
        if len(text) > self._maximum:
            raise self._refusal("long")
        if found := unseen_in(text, but="\n" if self.lines else ""):
            raise self._refusal("lines" if self.lines else "line", found)
        return text

    def _refusal(self, reason: str, found: str = "") -> ValidationError:
        """Return the error for one reason, with the bounds, or what was found, in its text."""
        texts = {
            "empty": "Must not be empty.",
            "short": f"Must have at least {self._minimum} characters.",
            "long": f"Must have at most {self._maximum} characters.",
            "line": f"Must not contain {found}: write one line, without control and invisible characters.",
            "lines": f"Must not contain {found}: leave out control and invisible characters; lines end with U+000A.",
        }
        return ValidationError(texts[reason])
