"""The writes of accounts, by subject; one function per write, one transaction each where the rules allow it."""

from services.accounts.commands.staff import create_staff

__all__ = ["create_staff"]
