"""The page of rights says what the code does."""

from services.projects.rights_page import PAGE, render


def test_the_page_of_rights_is_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run: python -m services.projects.rights_page"
