"""Routes that devices use by themselves, with HTTP Basic or a token of scope `device` (room licensing)."""

from __future__ import annotations

from gateway import compose
from gateway.routes.files import PEM_CHAIN, PEM_REQUEST, XML
from gateway.row import Right, Row
from services.accounts.api import SCOPE_DEVICE
from services.licensing.api import files as api
from services.projects.api import FILES

ROWS = (
    Row(
        "GET", "/device/v1/{hardware_id}/license-file", "licensing", "fetch_device_file", Right.DEVICE,
        "Fetch the device's license file: 304 when it has the newest, 204 when there is none.",
        power=FILES, request=api.FetchDeviceFileRequest, scope=SCOPE_DEVICE, gives=(XML, "text/plain"),
        compose=compose.device_file,
    ),
    Row(
        "PUT", "/device/v1/{hardware_id}/license-return", "licensing", "return_device_licenses", Right.DEVICE,
        "Deliver the device's return.",
        power=FILES, request=api.ReturnDeviceLicensesRequest, answer=api.ReturnReceipt, status=201, scope=SCOPE_DEVICE,
        takes=XML, raw="xml",
    ),
    Row(
        "POST", "/device/v1/{hardware_id}/certificate-request", "licensing", "request_device_certificate", Right.DEVICE,
        "Deliver the device's certificate request and get its certificate.",
        request=api.RequestDeviceCertificateRequest, status=201, scope=SCOPE_DEVICE, takes=PEM_REQUEST, raw="pem",
        gives=(PEM_CHAIN,), compose=compose.document,
    ),
)  # fmt: skip
