"""Every answer of a gateway to a test is compared with the OpenAPI document, whoever asked (Issue 6.5).

`requests` is what the journeys, the tenant matrix and the fault runs speak HTTP with, so it is watched in one place
and no test can forget it. What speaks over bare sockets calls `look` itself. A finding is raised where it is found, and
kept until the end of the test as well: a test that expects errors, or a thread that dies alone, does not swallow it.
The document tells `service.internal` everywhere, so that clients know it; a journey that gets it has found a fault.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import requests

from tests.openapi.answers import findings

DOUBLE: Final = "X-Test-Double"
"""A header by which a double in a test says that no gateway answered."""
JOURNEYS: Final = "tests/integration/"
"""Tests in which nothing goes wrong by itself; fault runs end processes at any moment, unit tests put faults in."""
_kept: list[str] = []
_running: list[str] = []


def look(
    method: str, target: str, status: int, headers: Mapping[str, str], content: bytes, *, body: bool = True
) -> None:
    """Fail when an answer is not as the document tells or a journey gets a 500; takes what `findings` takes."""
    found = findings(method, target, status, headers, content, body=body)
    if status == 500 and any(test.startswith(JOURNEYS) for test in _running):
        found.append(f"a journey gets no 500: {content[:300]!r}")
    if found:
        text = f"{method} {target.partition('?')[0]} -> {status}: " + "; ".join(found)
        _kept.append(text)
        raise AssertionError(text)


def _watched(send: Any) -> Any:
    def watched(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        response: requests.Response = send(session, request, **options)
        if DOUBLE in response.headers:
            return response
        look(
            str(request.method),
            urlsplit(str(request.url)).path,
            response.status_code,
            response.headers,
            response.content,
        )
        return response

    return watched


def pytest_configure(config: pytest.Config) -> None:
    """Watch all of `requests` from the start, since fixtures ask before the first test runs."""
    requests.Session.send = _watched(requests.Session.send)  # type: ignore[method-assign]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Remember which test runs, its fixtures included."""
    _running.append(item.nodeid)
    try:
        return (yield)
    finally:
        _running.remove(item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail the test in which an answer was found that is not told, also where its AssertionError was caught."""
    try:
        result = yield
    finally:
        # Also where it failed: the next test has nothing to do with it.
        found, _kept[:] = _kept[:], []
    assert not found, "\n".join(["answers that the OpenAPI document does not tell:", *found])
    return result
