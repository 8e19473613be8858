"""What a database error may say: its class, its code and what it is about, never the values of a statement (S21)."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from services.chassis.data.tables import NaiveTimeError

# SQLite names tables and columns and no values; so do the texts of these PostgreSQL classes: connection, integrity,
# rollback, resources, operator, system, and P0, the sentences of our own triggers.
_SAFE_CLASSES: Final = ("08", "23", "40", "53", "55", "57", "58", "P0")


def hide_values(context: Any) -> None:
    """Take the values out of an error where it arises, so that no log, table or text can ever show them.

    PostgreSQL quotes them in details ("Key (email)=(...)"), in excerpts of the statement and in some messages.

    Args:
        context: SQLAlchemy's ExceptionContext.
    """
    original, wrapped = context.original_exception, context.sqlalchemy_exception
    if isinstance(original, sqlite3.Error | NaiveTimeError):
        return
    text = _safe_text(original)
    original.args = (text,)
    if wrapped is not None:
        wrapped.args = (f"({type(original).__module__}.{type(original).__name__}) {text}",)


def _safe_text(error: BaseException) -> str:
    code = getattr(error, "pgcode", None)
    if not isinstance(code, str):
        # Not from the server: a lost connection is told by the driver, anything else may quote a value.
        return str(error).partition("\n")[0] if type(error).__name__ in ("OperationalError", "InterfaceError") else "-"
    diagnosis = error.diag  # type: ignore[attr-defined]
    about = " ".join(filter(None, (diagnosis.table_name, diagnosis.column_name, diagnosis.constraint_name)))
    message = diagnosis.message_primary if code.startswith(_SAFE_CLASSES) else ""
    return " ".join(filter(None, (code, message, about and f"({about})")))
