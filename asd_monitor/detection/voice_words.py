"""Words for the voices of a model, for a reader who does not know how they are computed."""

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
