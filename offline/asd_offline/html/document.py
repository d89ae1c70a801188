"""Frame of every report: one HTML file without external resources."""

from collections.abc import Iterable
from html import escape
from importlib.resources import files

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def render_document(title: str, body: str, style: str = "") -> str:
    """Return a complete page.

    Parameters
    ----------
    title
        Window title; escaped here.
    body
        HTML in which every name is already escaped.
    style
        CSS of this page, added to that of all pages.
    """
    shared = files("asd_offline.html").joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{shared}{style}</style></head><body><main>"
        f"{body}</main></body></html>\n"
    )


def render_facts(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """Return a section that lists names (escaped here) and their values (HTML)."""
    items = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in facts)
    return f'<section><h2>{escape(title)}</h2><dl class="facts">{items}</dl></section>'
