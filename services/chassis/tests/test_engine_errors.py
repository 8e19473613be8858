"""Issue 6.3: values of statements are in no error, so that no log, table or text can ever show them (S21)."""

from __future__ import annotations

import traceback

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from services.chassis.data.engine import make_engine

SECRET = "marked-secret-4711@example.org"
TABLE = "CREATE TABLE secrets (email VARCHAR(60) PRIMARY KEY, number INTEGER NOT NULL)"
STATEMENTS = {
    "unique": "INSERT INTO secrets VALUES (:secret, 1)",
    "null": "INSERT INTO secrets VALUES (:secret || 'x', NULL)",
    "number": "INSERT INTO secrets VALUES ('x', CAST(:secret AS INTEGER))",
    "syntax": "INSERT INTO secrets VALUE (:secret)",
    "no such table": "SELECT 1 FROM nowhere WHERE email = :secret",
}


def provoke(database_uri: str, wrong: str) -> DBAPIError | None:
    """Run a statement that cannot work in a database where the secret is stored already; return its error."""
    engine = make_engine(database_uri)
    try:
        with engine.begin() as connection:
            connection.execute(sa.text(TABLE))
            connection.execute(sa.text(STATEMENTS["unique"]), {"secret": SECRET})
        with engine.begin() as connection:
            connection.execute(sa.text(STATEMENTS[wrong]), {"secret": SECRET})
    except DBAPIError as error:
        return error
    finally:
        engine.dispose()
    return None


@pytest.mark.parametrize("wrong", STATEMENTS)
def test_no_error_holds_a_value(database_uri: str, wrong: str) -> None:
    error = provoke(database_uri, wrong)
    if error is None:
        # SQLite makes a number of any text.
        assert wrong == "number"
        assert database_uri.startswith("sqlite")
        return
    assert SECRET not in "".join(traceback.format_exception(error)) + repr(error) + repr(error.orig)
