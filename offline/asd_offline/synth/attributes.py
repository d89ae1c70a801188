"""The attributes that occur in a challenge's clips, by machine, section and domain."""

import itertools
import re
from dataclasses import dataclass

from asd_offline.datasets.challenge import Challenge


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes of a clip: as in its file name, and as keys and values."""

    text: str
    pairs: tuple[tuple[str, str], ...]


BRACES = re.compile(r"\{(.*?)\}")


def _expand(pattern: str) -> list[str]:
    """Return all ways to fill in the braces; both sides of ``=`` are filled in together."""
    sides = pattern.split("=")
    choices = [[group.split(",") for group in BRACES.findall(side)] for side in sides]
    expanded = []
    for picks in itertools.product(*(range(len(values)) for values in choices[0])):
        filled = []
        for side, values in zip(sides, choices, strict=True):
            for pick, options in zip(picks, values, strict=True):
                side = BRACES.sub(options[pick], side, count=1)
            filled.append(side)
        expanded.append("=".join(filled))
    return expanded


def attributes_of(
    challenge: Challenge, machine: str, section: int, domain: str
) -> list[Attributes]:
    """Return the attributes that occur in a section and domain; a single empty one if none do."""
    if machine not in challenge.vocabulary:
        return [Attributes("", ())]
    sections = challenge.vocabulary[machine]
    patterns = sections[section % len(sections)][0 if domain == "source" else 1]
    combinations = []
    for pattern in patterns.split():
        for combination in _expand(pattern):
            text, _, meaning = combination.partition("=")
            combinations.append(Attributes(text, _pairs(challenge, text, meaning)))
    return combinations


def _pairs(challenge: Challenge, text: str, meaning: str) -> tuple[tuple[str, str], ...]:
    """Return the attributes that a text in a file name means."""
    if meaning:
        words = meaning.split("_")
        return tuple(zip(words[::2], words[1::2], strict=True))
    name = challenge.train_name.format(
        section="section_00", domain="source", label="normal", index=0, tail=f"_{text}"
    )
    return challenge.parse("train", name).attributes
