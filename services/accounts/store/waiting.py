"""What waits in accounts, for its figures: mails to send, mails that somebody must look at, imports that are open."""

from typing import Final

import sqlalchemy as sa

from services.accounts.models import CompanyImport, Mail
from services.chassis import metrics
from services.chassis.data.figures import Waiting

_MAILS = metrics.read_figure(
    "tessera_mails",
    "Mails that are not sent: `queued` ones go out by themselves, `parked` ones cannot be made; each up to 10000.",
    ("room", "state"),
    of="accounts",
    zero="`parked`: somebody waits for a mail; see the log of accounts, then `tessera-admin retry-parked-mails`.",
)
_OLDEST_MAIL = metrics.read_figure(
    "tessera_mail_oldest_seconds",
    "Age of the oldest mail that is not sent; seconds.",
    ("room", "state"),
    of="accounts",
    zero="Above 300 s the mail server does not take it.",
)

WAITING: Final = (
    Waiting("queued", sa.select(Mail.created_at).where(Mail.next_at.is_not(None)), _MAILS, _OLDEST_MAIL),
    Waiting("parked", sa.select(Mail.created_at).where(Mail.parked_at.is_not(None)), _MAILS, _OLDEST_MAIL),
    Waiting("company_import", sa.select(CompanyImport.started_at).where(CompanyImport.finished_at.is_(None))),
)
