"""Addresses that mails will go to: what is taken makes a header that is right, and what is refused says what to do."""

from __future__ import annotations

import email
import email.policy
from email.headerregistry import Address
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from services.accounts.api.requests import (
    AddCompanyUserRequest,
    ChangeEmailRequest,
    CreateSessionRequest,
    NewEmailAddress,
    RegisterRequest,
)

_FIELD = NewEmailAddress()
_WRITTEN = (RegisterRequest, ChangeEmailRequest, AddCompanyUserRequest)


@pytest.mark.parametrize("schema", _WRITTEN)
@pytest.mark.parametrize(
    "address",
    [
        "ä@x.example",
        "a@ä.example",
        "a@[127.0.0.1]",
        "a@[IPv6:::1]",
        f"{'a' * 65}@x.example",
        "аda@example.com",
        "x",
        "a@",
    ],
)
def test_an_address_that_no_mail_reaches_is_refused(schema: type, address: str) -> None:
    """It was taken, and the activation went to an encoded word, which RFC 2047 forbids there."""
    errors = schema().validate({"email": address})["email"]
    assert len(errors) == 1
    assert errors[0].startswith("Not a valid email address")


@pytest.mark.parametrize("schema", _WRITTEN)
@pytest.mark.parametrize(
    "address", ["ada@example.com", "a.b+c@xn--4ca.example", f"{'a' * 64}@x.example", " ada@x.example "]
)
def test_an_address_that_mails_reach_is_taken(schema: type, address: str) -> None:
    assert "email" not in schema().validate({"email": address})


def test_whoever_has_an_address_of_before_logs_in() -> None:
    assert "email" not in CreateSessionRequest().validate({"email": "a@ä.example"})


@given(st.text(max_size=30) | st.from_regex(r"[^@]{1,70}@[^@]{1,30}\.[a-z]{2,3}", fullmatch=True))
def test_what_is_taken_stands_in_the_header_as_it_was_written(text: str) -> None:
    try:
        address = _FIELD.deserialize(text)
    except ValidationError:
        return
    message = EmailMessage(policy=email.policy.SMTP)
    message["To"] = Address(addr_spec=address)
    assert f"To: {address}" in message.as_string()
