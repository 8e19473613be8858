"""The key format: nothing mistyped passes, everything that a person writes the same is the same (BAL-5, S11)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.licensing.domain.activation_keys import (
    ALPHABET,
    LENGTH,
    MistypedKeyError,
    complete,
    digest_of_key,
    format_key,
    masked_key,
    new_key,
    parse_key,
)

keys = st.lists(st.integers(0, 31), min_size=LENGTH - 1, max_size=LENGTH - 1).map(complete)


def is_key(text: str) -> bool:
    try:
        parse_key(text)
    except MistypedKeyError:
        return False
    return True


def test_alphabet_has_32_symbols_without_look_alikes() -> None:
    assert len(set(ALPHABET)) == 32
    assert not set(ALPHABET) & set("ILOU")


def test_a_new_key_has_five_groups_and_is_its_own_canonical_form() -> None:
    key = new_key()
    text = format_key(key)
    assert [len(group) for group in text.split("-")] == [5] * 5
    assert parse_key(text) == parse_key(key) == key
    assert masked_key(key[-5:]) == f"*****-*****-*****-*****-{key[-5:]}"


def test_ten_thousand_keys_are_all_different() -> None:
    assert len({new_key() for _ in range(10_000)}) == 10_000


@given(keys)
def test_every_single_substitution_is_caught(key: str) -> None:
    wrong = [
        key[:place] + symbol + key[place + 1 :]
        for place in range(LENGTH)
        for symbol in ALPHABET
        if symbol != key[place]
    ]
    assert [text for text in wrong if is_key(text)] == []


@given(keys)
def test_every_swap_of_two_symbols_is_caught(key: str) -> None:
    wrong = []
    for first in range(LENGTH):
        for second in range(first + 1, LENGTH):
            symbols = list(key)
            symbols[first], symbols[second] = symbols[second], symbols[first]
            if symbols != list(key):
                wrong.append("".join(symbols))
    assert [text for text in wrong if is_key(text)] == []


@given(keys, st.data())
def test_case_blanks_dashes_and_look_alikes_do_not_matter(key: str, data: st.DataObject) -> None:
    pieces = []
    for symbol in format_key(key):
        spellings = {"0": "0Oo", "1": "1IiLl", "-": ["-", " ", "", " - ", "\t"]}.get(symbol, symbol + symbol.lower())
        pieces.append(data.draw(st.sampled_from(list(spellings))))
    assert parse_key(f"  {''.join(pieces)}\n") == key


@given(st.text(max_size=60))
def test_any_text_is_a_key_or_mistyped_and_nothing_else(text: str) -> None:
    # Whatever else is raised fails the test.
    if is_key(text):
        assert parse_key(format_key(parse_key(text))) == parse_key(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "00000-00000-00000-00000-00000",
        "0" * 24,
        "0" * 26,
        "ſ" * 25,
        "０" * 25,
        "U" * 25,
        "\x00" * 25,
    ],
)
def test_these_are_no_keys(text: str) -> None:
    assert not is_key(text)


@given(keys, keys)
def test_digests_tell_keys_apart(one: str, other: str) -> None:
    assert (digest_of_key(one) == digest_of_key(other)) == (one == other)
