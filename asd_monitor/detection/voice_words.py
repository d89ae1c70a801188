"""Words for the voices of a model, for a reader who does not know how they are computed."""

import re

WORDS = {
    "level": "loudness",
    "spectrum": "tones",
    "typical": "steady part",
    "spread": "fluctuation",
    "peaks": "knocks",
    "change": "changes",
    "fast change": "quick changes",
    "modulation": "rhythm",
    "floor": "constant noise",
    "all voices together": "many parts a little",
    "strongest voice": "one part",
}
"""By the feature group of the voice, or its own name."""


def describe_voice(name: str) -> str:
    """Return a voice in words; its name where there are none."""
    group, _, _ = name.partition(" in ")
    return WORDS.get(group, name)


def describe_change(name: str) -> str:
    """Return what is unusual where a voice has risen: the voice in words, and where it is known."""
    found = re.fullmatch(r"(\w+) in (\d+) to (\d+) Hz, (higher|lower)", name)
    if found is None:
        return describe_voice(name)
    low, high = (_describe_frequency(int(text)) for text in found.group(2, 3))
    amount = "more" if found[4] == "higher" else "lack of"
    return f"{amount} {describe_voice(name)} from {low} to {high}"


def _describe_frequency(hz: int) -> str:
    rounded = float(f"{hz:.2g}")
    return f"{rounded / 1000:g} kHz" if rounded >= 1000 else f"{rounded:g} Hz"
