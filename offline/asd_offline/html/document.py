"""The frame of every report: one HTML file that needs nothing from outside."""

from html import escape
from importlib.resources import files

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def document(title: str, body: str, style: str = "") -> str:
    """Return a whole page.

    Parameters
    ----------
    title
        For the window; escaped here.
    body
        HTML, with every name in it escaped.
    style
        What the page adds to the style that all share.
    """
    shared = files("asd_offline.html").joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{shared}{style}</style></head><body><main>"
        f"{body}</main></body></html>\n"
    )
