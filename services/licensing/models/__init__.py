"""Tables of licensing. Their meaning is told where they are defined; what is done with them is in `store`."""

from services.licensing.models.base import Base
from services.licensing.models.catalogue import CatalogueState, CatalogueVersion, DeviceType, LicenseType
from services.licensing.models.deletions import ProjectDeletion
from services.licensing.models.files import (
    Authority,
    CertificateAcceptance,
    DeviceCertificate,
    DeviceHolder,
    FileCounter,
    LicenseFileLine,
    LicenseFileRow,
    LicenseReturn,
    RevocationList,
)
from services.licensing.models.keys import ActivationKey, GuestRight, KeyAttempt, KeyGuesser, Order, Project
from services.licensing.models.ledger import Balance, DeviceLine, Pool, Transfer, TransferEntry

__all__ = [
    "ActivationKey",
    "Authority",
    "Balance",
    "Base",
    "CatalogueState",
    "CatalogueVersion",
    "CertificateAcceptance",
    "DeviceCertificate",
    "DeviceHolder",
    "DeviceLine",
    "DeviceType",
    "FileCounter",
    "GuestRight",
    "KeyAttempt",
    "KeyGuesser",
    "LicenseFileLine",
    "LicenseFileRow",
    "LicenseReturn",
    "LicenseType",
    "Order",
    "Pool",
    "Project",
    "ProjectDeletion",
    "RevocationList",
    "Transfer",
    "TransferEntry",
]
