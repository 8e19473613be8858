"""Alembic's environment of projects: the generic one of the chassis, with this room's tables."""

from services.chassis.data.migrations import run_env
from services.projects.models import Base

run_env(Base.metadata)
