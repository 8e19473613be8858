"""What is under way in licensing, for its figures: deletions of projects, and orders that are being entered."""

from typing import Final

import sqlalchemy as sa

from services.chassis.data.figures import Waiting
from services.licensing.models import Order, ProjectDeletion
from services.licensing.store.orders import ENTERED

WAITING: Final = (
    Waiting("project_deletion", sa.select(ProjectDeletion.started_at).where(sa.not_(ProjectDeletion.told))),
    Waiting("order", sa.select(Order.created_at).where(Order.state == sa.literal_column(f"'{ENTERED}'"))),
)
