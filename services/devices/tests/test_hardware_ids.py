"""The grammar of hardware ids: worked values, every spelling, and a second implementation that must agree."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.devices.domain.hardware_ids import (
    IPEI_MANUFACTURERS,
    LARGEST_IPEI_SERIAL,
    MAKER_PREFIXES,
    MalformedIdError,
    MalformedOrderNumberError,
    RangeError,
    TooManyError,
    canonical_hardware_id,
    canonical_order_number,
    expand_range,
    parse_hardware_id,
    search_key,
    shown_input,
    split_text,
)

BLANKS = st.text(" \t\r\n", max_size=3)
MACS = st.builds(lambda prefix, rest: f"{prefix}{rest:06X}", st.sampled_from(MAKER_PREFIXES), st.integers(0, 0xFFFFFF))
SEPARATORS = st.sampled_from(["-", ":", ".", " ", ""])


def pairs(digits: str, separator: str) -> str:
    return separator.join(digits[place : place + 2] for place in range(0, len(digits), 2))


def oracle(text: str) -> str | None:
    """Decide by other means than the parser: cut the text up and look at the pieces instead of matching it whole."""
    text = text.strip(" \t\r\n\v\f")
    if not text or any(ord(character) > 127 for character in text) or len(text) > 64:
        return None
    text = text.upper()
    used = sorted(set(text) & set("-:. "))
    pieces = re.split("[-:. ]", text)
    joined = "".join(pieces)
    if len(used) <= 1 and all(piece and set(piece) <= set("0123456789ABCDEF") for piece in pieces):
        sizes = [len(piece) for piece in pieces]
        mac_shape = sizes in ([2] * 6, [2] * 3, [12], [6]) or (sizes == [4, 4, 4] and used == ["."])
        whole = joined if len(joined) == 12 else "009033" + joined
        if mac_shape and whole.startswith(("009033", "029033", "809033", "00013E")):
            return pairs(whole, "-")
        if mac_shape and not (sizes == [12] and joined.isdigit()):
            return None
    if ":" in used:
        return None
    sizes = [len(piece) for piece in pieces]
    if sizes not in ([5, 7, 1], [5, 7], [5, 8], [12, 1], [12], [13]):
        return None
    numbers, check = joined[:12], joined[12:]
    if not numbers.isdigit() or numbers[:5] not in ("00077", "05003") or int(numbers[5:]) >= 2**20:
        return None
    rest = 0
    for place in range(12):
        rest += (place + 1) * (ord(numbers[place]) - 48)
    right = "*" if rest % 11 == 10 else str(rest % 11)
    return f"{numbers[:5]}-{numbers[5:]}-{right}" if check in ("", right) else None


def parsed(text: str) -> str | None:
    try:
        return canonical_hardware_id(text)
    except MalformedIdError:
        return None


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("00-90-33-08-20-20", "00-90-33-08-20-20"),
        ("00:90:33:08:20:20", "00-90-33-08-20-20"),
        ("009033082020", "00-90-33-08-20-20"),
        ("082020", "00-90-33-08-20-20"),
        ("08-20-20", "00-90-33-08-20-20"),
        (" 00.90.33.ab.cd.ef\t", "00-90-33-AB-CD-EF"),
        ("0090.33ab.CDEF", "00-90-33-AB-CD-EF"),
        ("00 90 33 08 20 20", "00-90-33-08-20-20"),
        ("00-01-3e-00-00-01", "00-01-3E-00-00-01"),
        ("029033000001", "02-90-33-00-00-01"),
        ("80:90:33:00:00:01", "80-90-33-00-00-01"),
        # Worked by hand: the tenth digit is checked by the thirteenth.
        ("000770391552", "00077-0391552-8"),
        ("000770466191", "00077-0466191-6"),
        ("050030000001", "05003-0000001-4"),
        ("000771000007", "00077-1000007-*"),
        ("00077-0391552-8", "00077-0391552-8"),
        ("00077 0391552 8", "00077-0391552-8"),
        ("00077 03915528", "00077-0391552-8"),
        ("0007710000 07*".replace(" ", ""), "00077-1000007-*"),
        # Twelve digits that could be either: a maker's prefix wins.
        ("009033000077", "00-90-33-00-00-77"),
    ],
)
def test_every_spelling_has_one_canonical_form(text: str, canonical: str) -> None:
    assert canonical_hardware_id(text) == canonical
    assert canonical_hardware_id(canonical) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "0",
        "00-90-33-08-20",
        "00-90-33-08-20-2",
        "00-90-33-08-20-20-20",
        "00-90:33-08-20-20",
        "00--90-33-08-20-20",
        "-082020",
        "0090-3308-2020",
        "0082020",
        "00-11-22-33-44-55",
        "001122334455",
        "gg2020",
        "08 2020",
        "123456789012",
        "00903-3082020",
        "00077-0391552-7",
        "000770391552*",
        "00077-1048576",
        "00078-0391552",
        "00077:0391552:8",
        "\u0660\u0668\u0662\u0660\u0662\u0660",
        "\uff10\uff18\uff12\uff10\uff12\uff10",
        "08\u00a02020",
        "\ufb0182020",
        "082020\x00",
        "0" * 10_000,
    ],
)
def test_everything_else_is_refused_with_a_text_that_helps(text: str) -> None:
    with pytest.raises(MalformedIdError, match=r"MAC|IPEI|maker"):
        canonical_hardware_id(text)


@given(MACS, SEPARATORS, st.booleans(), BLANKS, BLANKS)
def test_a_mac_survives_every_spelling(mac: str, separator: str, lower: bool, before: str, after: str) -> None:
    text = pairs(mac, separator)
    text = before + (text.lower() if lower else text) + after
    assert parse_hardware_id(text).kind == "mac"
    assert canonical_hardware_id(text) == pairs(mac, "-")
    if mac.startswith("009033"):
        assert canonical_hardware_id(before + pairs(mac[6:], separator) + after) == pairs(mac, "-")


@given(
    st.sampled_from(IPEI_MANUFACTURERS),
    st.integers(0, LARGEST_IPEI_SERIAL),
    st.sampled_from(["-", ".", " ", ""]),
    st.sampled_from(["-", ".", " ", ""]),
    st.integers(0, 10),
)
def test_an_ipei_survives_every_spelling_and_no_wrong_check_character(
    manufacturer: str, serial: int, first: str, second: str, step: int
) -> None:
    bare = f"{manufacturer}{first}{serial:07d}"
    canonical = canonical_hardware_id(bare)
    right = canonical[-1]
    shown = "0123456789*"[("0123456789*".index(right) + step) % 11]
    assert parsed(f"{bare}{second}{shown}") == (canonical if step == 0 else None)


ALPHABET = st.text("0123456789abcdefABCDEF-:. *\t\n", max_size=20)
NEAR = st.builds(
    lambda text, place, change: text[:place] + change + text[place + 1 :],
    st.one_of(
        st.builds(pairs, MACS, SEPARATORS),
        st.builds(
            lambda maker, serial, separator: f"{maker}{separator}{serial:07d}",
            st.sampled_from([*IPEI_MANUFACTURERS, "00078"]),
            st.integers(0, 9_999_999),
            SEPARATORS,
        ),
        st.integers(0, 10**13 - 1).map(lambda number: f"{number:012d}"),
    ),
    st.integers(0, 18),
    st.text("0123456789ABCDEFg-:. *\u0663", max_size=2),
)


@given(st.one_of(ALPHABET, NEAR, st.text(max_size=20)))
def test_a_second_implementation_agrees_on_everything(text: str) -> None:
    assert parsed(text) == oracle(text)


@given(st.integers(0, 0xFFFFFF), st.integers(-3, 80))
def test_a_range_is_counted_before_it_is_made(start: int, length: int) -> None:
    end = start + length - 1
    first, last = f"009033{start:06X}", f"{0x009033000000 + end:012x}"
    if end > 0xFFFFFF and length > 0:
        expected: type[Exception] = RangeError
    elif length < 1:
        expected = RangeError
    elif length > 50:
        expected = TooManyError
    else:
        made = expand_range(first, last)
        assert made == [pairs(f"{0x009033000000 + number:012X}", "-") for number in range(start, end + 1)]
        assert len(made) == length
        return
    with pytest.raises(expected) as caught:
        expand_range(first, last)
    if isinstance(caught.value, TooManyError):
        assert caught.value.count == length


def test_the_widest_range_is_refused_at_once() -> None:
    with pytest.raises(TooManyError) as caught:
        expand_range("00-01-3E-00-00-00", "80-90-33-FF-FF-FF")
    assert caught.value.count > 10**14


@given(st.lists(st.from_regex(r"[0-9A-F*:.\-]{1,17}", fullmatch=True), max_size=60), st.data())
def test_a_text_is_split_at_blanks_and_lines(pieces: list[str], data: st.DataObject) -> None:
    separators = st.text(" \t\r\n", min_size=1, max_size=3)
    text = data.draw(BLANKS) + "".join(piece + data.draw(separators) for piece in pieces)
    if data.draw(st.booleans()):
        text = "\ufeff" + text
    if len(pieces) > 50:
        with pytest.raises(TooManyError) as caught:
            split_text(text)
        assert caught.value.count == len(pieces)
    else:
        assert split_text(text) == pieces


@given(st.text(max_size=80))
def test_what_is_shown_can_be_stored_anywhere(text: str) -> None:
    shown = shown_input(text)
    shown.encode()
    assert len(shown) <= 64
    assert "\x00" not in shown
    assert search_key(text) == search_key(text).upper() or not text.isascii()


@pytest.mark.parametrize(
    ("text", "number"), [("4711", "4711"), (" ab-1/2 ", "AB-1/2"), ("50 01202.001", "50 01202.001")]
)
def test_order_numbers_have_one_form(text: str, number: str) -> None:
    assert canonical_order_number(text) == number


@pytest.mark.parametrize("text", ["", " ", "-1", "1-", "<1>", "\u0661", "a" * 65, "1\x002", "'; --"])
def test_other_texts_are_no_order_numbers(text: str) -> None:
    with pytest.raises(MalformedOrderNumberError, match="1 to 64"):
        canonical_order_number(text)
