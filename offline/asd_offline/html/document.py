"""Frame of every report: one HTML file without external resources."""

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from importlib.resources import files

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"


def render_document(title: str, body: str, style: str = "", script: str = "") -> str:
    """Return a complete page.

    Parameters
    ----------
    title
        Window title; escaped here.
    body
        HTML in which every name is already escaped.
    style
        CSS of this page, added to that of all pages.
    script
        JavaScript at the end of the page; the page's policy allows it by its hash, and no other.
    """
    policy, element = _POLICY, ""
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
        policy += f"; script-src 'sha256-{digest}'"
        element = f"<script>{script}</script>"
    shared = files("asd_offline.html").joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{shared}{style}</style></head><body><main>"
        f"{body}</main>{element}</body></html>\n"
    )


def render_facts(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """Return a section that lists names (escaped here) and their values (HTML)."""
    items = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in facts)
    return f'<section><h2>{escape(title)}</h2><dl class="facts">{items}</dl></section>'
