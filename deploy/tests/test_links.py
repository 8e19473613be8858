"""Links in mails lead to pages that are there."""

from __future__ import annotations

from werkzeug.test import Client

from portal.app import Portal
from services.accounts.mails.texts import TEXTS


def test_every_link_of_a_mail_leads_to_a_page() -> None:
    portal = Client(Portal("http://127.0.0.1:1"))
    paths = {text.path for of_language in TEXTS.values() for text in of_language.values() if text.path}
    assert "/activate" in paths
    for path in paths:
        assert portal.get(path, query_string={"token": "x"}).status_code == 200, path
