"""Attributes in file names that are not plain ``key_value`` pairs."""

import re
from collections.abc import Collection, Iterable

HIDDEN = "noAttribute"
"""Tail of file names whose attributes are not published."""
REMAINDER = "condition"
"""Key of a last word without a key."""
_JOINED = re.compile(r"(Bckg)([A-Z])|([A-Za-z]+)(\d+)")
"""A key and its value in one word: ``weight15``, ``BckgF``."""

Pairs = tuple[tuple[str, str], ...]


def is_hidden(tail: str) -> bool:
    """Return whether a name says that its attributes are hidden."""
    return tail.lower() == HIDDEN.lower()


def named_attributes(tail: str, long_keys: Collection[str] = ()) -> Pairs:
    """Split the tail of a file name into attributes.

    Parameters
    ----------
    tail
        What follows the number in the name.
    long_keys
        Keys of two words, joined by ``_``.

    Examples
    --------
    >>> named_attributes("weight15_BckgF")
    (('weight', '15'), ('Bckg', 'F'))
    >>> named_attributes("mic_imp_mic_pos_A", ["mic_pos"])
    (('mic', 'imp'), ('mic_pos', 'A'))
    >>> named_attributes("car_A1_mic_2_mic_1")
    (('car', 'A1'), ('mic', '2'), ('mic_2', '1'))
    >>> named_attributes("noAttribute")
    ()
    """
    if is_hidden(tail):
        return ()
    words = [word for word in tail.split("_") if word]  # some names end with "_"
    pairs = []
    while words:
        key = words.pop(0)
        joined = _JOINED.fullmatch(key)
        if joined:
            key, value = (part for part in joined.groups() if part is not None)
            pairs.append((key, value))
            continue
        if words and f"{key}_{words[0]}" in long_keys:
            key = f"{key}_{words.pop(0)}"
        pairs.append((key, words.pop(0)) if words else (REMAINDER, key))
    return distinct_keys(pairs)


def distinct_keys(pairs: Iterable[tuple[str, str]]) -> Pairs:
    """Number keys that occur again: ``mic``, ``mic_2``."""
    counts: dict[str, int] = {}
    distinct = []
    for key, value in pairs:
        counts[key] = counts.get(key, 0) + 1
        distinct.append((key if counts[key] == 1 else f"{key}_{counts[key]}", value))
    return tuple(distinct)
