"""Wrap sentences between words on a terminal; a pipe or a file gets each on one line."""

import shutil
import sys
import textwrap
from typing import TextIO

HANGING_INDENT = 2


def wrap(text: str, stream: TextIO | None = None, *, hanging: int = HANGING_INDENT) -> str:
    """Return text that a terminal need not break within words.

    Parameters
    ----------
    text
        Lines; the further ones of a wrapped line are indented more than its first.
    stream
        Where it will be written; stdout by default. Text for anything but a terminal is returned
        as it is.
    hanging
        By how many characters further lines are indented more.
    """
    stream = sys.stdout if stream is None else stream
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(_wrap_line(line, width, hanging) for line in text.split("\n"))


def _wrap_line(line: str, width: int, hanging: int) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(
        line,
        width,
        subsequent_indent=indent + " " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
