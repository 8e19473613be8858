"""Addresses that need no room: the OpenAPI document and its page, what each error code means, schemas of events.

The pages are plain HTML without scripts and without anything from elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from functools import cache
from html import escape
from typing import Any, Final

from gateway import versions
from gateway.event_schemas import event_schemas
from gateway.messages import Request, Response
from gateway.openapi import document
from gateway.problems import texts
from services.chassis.languages import choose_language

HTML: Final = "text/html; charset=utf-8"
HEALTH: Final = frozenset({"/healthz", "/readyz"})
"""Answered even when there is room for nothing else (rule G9)."""
_STYLE: Final = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem;color:#1a1a1a;background:#fff}"
    "code,.m{font-family:ui-monospace,monospace}.m{font-weight:700;display:inline-block;min-width:4.5rem}"
    "details{border-top:1px solid #ccc;padding:.4rem 0}summary{cursor:pointer}"
    "table{border-collapse:collapse}td,th{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top}"
    "pre{background:#f4f4f4;padding:.6rem;overflow:auto}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}pre{background:#262626}a{color:#8bf}}"
)
_POLICY: Final = (
    "Content-Security-Policy",
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
)

Page = Callable[[Request], Response]


def pages(codes: dict[str, str]) -> dict[str, Page]:
    """Return the pages by path.

    Args:
        codes: every error code and its English meaning.
    """
    table: dict[str, Page] = {"/healthz": healthz, "/openapi.json": openapi_page, "/docs": docs_page}
    for code, meaning in codes.items():
        table[f"/problems/{code}"] = _problem_page(code, meaning)
    for address, schema in event_schemas().items():
        table[address] = _schema_page(schema)
    return table


def healthz(request: Request) -> Response:
    """Answer that the process lives."""
    return Response.of_json(200, {"status": "alive"})


def openapi_page(request: Request) -> Response:
    """Answer the OpenAPI document."""
    return _cached(request, _openapi_bytes(), "application/json", [])


def docs_page(request: Request) -> Response:
    """Answer the OpenAPI document as a page for people."""
    return _cached(request, _docs_bytes(), HTML, [_POLICY])


def _cached(request: Request, body: bytes, content_type: str, headers: list[tuple[str, str]]) -> Response:
    etag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = [*headers, ("ETag", etag), ("Cache-Control", "public, max-age=60")]
    if versions.is_known(request.headers.get("if-none-match", ""), etag):
        return Response(304, headers=headers)
    return Response(200, body, content_type, headers)


@cache
def _openapi_bytes() -> bytes:
    return json.dumps(document(), ensure_ascii=False, separators=(",", ":")).encode()


@cache
def _docs_bytes() -> bytes:
    spec = document()
    parts = [
        f"<p>{escape(spec['info']['description'])}</p>",
        '<p>As data: <a href="/openapi.json">openapi.json</a></p>',
    ]
    by_tag: dict[str, list[str]] = {}
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            by_tag.setdefault(operation["tags"][0], []).append(_operation_html(method, path, operation))
    for tag, blocks in by_tag.items():
        parts.append(f"<h2>{escape(tag)}</h2>{''.join(blocks)}")
    parts.append("<h2>Schemas</h2>")
    for name, schema in sorted(spec["components"]["schemas"].items()):
        text = escape(json.dumps(schema, indent=1, ensure_ascii=False))
        parts.append(f'<details id="{escape(name)}"><summary>{escape(name)}</summary><pre>{text}</pre></details>')
    return _html("Tessera API", "".join(parts))


def _operation_html(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(item['name'])}</code></td><td>{item['in']}</td>"
        f"<td>{'required' if item['required'] else ''}</td></tr>"
        for item in operation["parameters"]
    )
    body = operation.get("requestBody")
    body_html = f"<p>Body</p><pre>{escape(json.dumps(body['content'], indent=1))}</pre>" if body else ""
    answers = ", ".join(
        f"{status} {escape(answer['description'])}" for status, answer in operation["responses"].items()
    )
    links = ", ".join(
        f'<a href="/problems/{escape(code)}">{escape(code)}</a>' for code in operation.get("x-error-codes", ())
    )
    refusals = f"<p>Refusals: {links}</p>" if links else ""
    return (
        f'<details><summary><span class="m">{method.upper()}</span> <code>{escape(path)}</code><br>'
        f"{escape(operation['summary'])}</summary><p>{escape(operation['description'])}</p>"
        f"<table>{rows}</table>{body_html}<p>Answers: {answers}</p>{refusals}</details>"
    )


def _schema_page(schema: dict[str, Any]) -> Page:
    body = json.dumps(schema, ensure_ascii=False, separators=(",", ":")).encode()
    return lambda request: _cached(request, body, "application/schema+json", [])


def _problem_page(code: str, meaning: str) -> Page:
    def page(request: Request) -> Response:
        language = choose_language(request.headers.get("accept-language", ""))
        entry = texts(language).get(code, {})
        title = entry.get("title", code)
        explanation = re.sub(r"\{\w+\}", "…", entry.get("detail") or meaning)
        html = _html(title, f"<p><code>{escape(code)}</code></p><p>{escape(explanation)}</p>", language)
        return Response(
            200,
            html,
            HTML,
            [
                _POLICY,
                ("Cache-Control", "public, max-age=60"),
                ("Content-Language", language),
                ("Vary", "Accept-Language"),
            ],
        )

    return page


def _html(title: str, body: str, language: str = "en") -> bytes:
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    ).encode()
