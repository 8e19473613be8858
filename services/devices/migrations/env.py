"""Alembic's environment of devices; the chassis does the work."""

from services.chassis.data.migrations import run_env
from services.devices.models import Base

run_env(Base.metadata)
