"""What a company writes about its record of a device (DEV-6): texts that an import keeps and that filters search."""

from typing import Final

COMMENTS: Final = ("comment", "license_comment")
"""Columns of a record, fields of its schemas; empty until somebody writes something."""
