"""Writes everything that is generated from declarations: pages, and what the gateway publishes of the rooms."""

from __future__ import annotations

from deploy.reference.pages import generated

for target, text in generated().items():
    target.write_text(text, "utf-8")
