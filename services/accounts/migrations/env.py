"""Alembic's environment of accounts: the generic one of the chassis, with this room's tables."""

from services.accounts.models import Base
from services.chassis.data.migrations import run_env

run_env(Base.metadata)
