"""Escape control characters in text for a terminal, which could otherwise change what it shows."""

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_IN_LINE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def on_one_line(text: str) -> str:
    """Escape line breaks and other control characters, which file names may contain."""
    return _CONTROL.sub(_escape, text)


def in_lines(text: str) -> str:
    """Escape control characters other than line feeds."""
    return _CONTROL_IN_LINE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
