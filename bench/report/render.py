"""Fills the templates; what is not marked as ours is escaped, for HTML and for GitHub's Markdown alike."""

from __future__ import annotations

import dataclasses
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bench.analysis import steadiness
from bench.report import format as fmt
from bench.report.page import Page

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_TEMPLATES = Path(__file__).parent / "templates"
# What GitHub reads as markup, tables, HTML, mentions, issue numbers or bare links anywhere, and as lists at the start.
_MARKDOWN = re.compile(r"[\\`*\[\]<>#|~$@&]|(?<![a-z0-9])_|_(?![a-z0-9])|:(?=//)|(?<=www)\.|^[-=+]", re.IGNORECASE)
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")


def as_html(page: Page) -> str:
    """``report.html``: one file that needs no network."""
    return filled("report.html.j2", page)


def as_markdown(page: Page) -> str:
    """``report.md``: for a pull request."""
    return filled("report.md.j2", page)


def filled(template: str, page: DataclassInstance) -> str:
    """A template with the fields of a page; it is HTML or Markdown by its name."""
    kind = "html" if template.endswith(".html.j2") else "md"
    return _environment(kind).get_template(template).render(_context(page))


def escape_markdown(value: Any) -> Any:
    """Foreign text as GitHub shows it letter by letter; what is ``Markup`` passes."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    # Entities rather than backslashes, which GitHub does not honour everywhere.
    escaped = _MARKDOWN.sub(lambda found: f"&#{ord(found.group())};", " ".join(value.split()))
    numbered = _NUMBERED.sub(lambda found: f"{found[1]}&#{ord(found[2])};", escaped)
    return Markup(numbered)  # noqa: S704  escaped in the lines above


def _context(page: DataclassInstance) -> dict[str, Any]:
    shallow = {field.name: getattr(page, field.name) for field in dataclasses.fields(page)}
    return shallow | {"fmt": fmt, "steadiness": steadiness}


@cache
def _environment(kind: str) -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=kind == "html",
        finalize=None if kind == "html" else escape_markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
