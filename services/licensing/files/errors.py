"""The one error of the formats: bytes that are not what they should be."""

from __future__ import annotations


class FormatError(ValueError):
    """Bytes that are refused; `reason` is a fixed word, the text is for a person.

    Args:
        reason: `malformed`, `changed`, `unknown_key`, `other_device`, `unreadable`.
        detail: one sentence: what is wrong, with the value where it is short.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
