"""Alembic's environment for licensing; all of it is in the chassis."""

from services.chassis.data.migrations import run_env
from services.licensing.models import Base

run_env(Base.metadata)
