"""The order of file names in which numbers count by their value: ``2.wav`` before ``10.wav``."""

import re
from pathlib import Path

NaturalKey = tuple[tuple[str | int, ...], str]

_NUMBER = re.compile(r"(\d+)")


def natural_key(name: str | Path) -> NaturalKey:
    """Return a sort key of a name or path.

    Numbers with leading zeros and ISO dates keep the order that they have as text.

    >>> sorted(["10.wav", "2.wav", "1.wav"], key=natural_key)
    ['1.wav', '2.wav', '10.wav']
    """
    text = str(name)
    # Splitting at a group gives text and numbers in turn, so keys are of comparable types.
    parts = (int(part) if index % 2 else part for index, part in enumerate(_NUMBER.split(text)))
    return tuple(parts), text
