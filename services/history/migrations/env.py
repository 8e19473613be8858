"""Alembic's environment for history; all of it is in the chassis."""

from services.chassis.data.migrations import run_env
from services.history.models import Base

run_env(Base.metadata)
