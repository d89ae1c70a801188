"""From a clip's attributes to what they do to its sound."""

import re
from dataclasses import dataclass

import numpy as np

from asd_offline.synth.attributes import Attributes, attributes_of
from asd_offline.synth.room import seed_of

SPEED_KEYS = frozenset({"vel", "spd", "speed", "volt"})
LOAD_KEYS = frozenset({"wt", "ac"})
NOISE_KEYS = frozenset({"f-n", "m-n", "noise"})
PLACE_KEYS = frozenset({"loc", "mic", "panel"})
UNIT_KEYS = frozenset({"id", "car", "grindstone", "plate"})
PATTERN_KEYS = frozenset({"pat", "v1pat", "v2pat"})
NAMED_STEPS = {"Lb": 1.0, "L": 1.0, "Mb": 2.0, "M": 2.2, "H": 3.0}


@dataclass(frozen=True, slots=True)
class Conditions:
    """Everything about a clip that its attributes, its section and its domain decide."""

    attributes: Attributes
    unit: int
    """Seed of the unit recorded: its tolerances."""
    place: int
    """Seed of the room and the microphone."""
    noise: int
    """Seed of the factory hall."""
    speed: float
    load: float
    variant: int
    noise_db: float
    """Level of the background against that of the data set's signal-to-noise ratio."""


def _number(value: str) -> float:
    digits = re.sub(r"[^0-9.]", "", value)
    return float(digits) if digits else NAMED_STEPS.get(value, 1.0)


def conditions_of(
    seed: int, year: int, machine: str, section: int, domain: str, attributes: Attributes
) -> Conditions:
    """Return the conditions that the attributes stand for.

    Speeds and loads are placed within the range that occurs in their section, so that the
    target domain lies beside or beyond the source domain, as its values do.
    """
    occurring = [
        pair
        for each in ("source", "target")
        for other in attributes_of(year, machine, section, each)
        for pair in other.pairs
    ]
    identity: list[object] = [seed, year, machine, section]
    unit, place, noise = [*identity, "unit"], [*identity, "place"], [seed, machine, "noise"]
    speed, load, variant, noise_db = 1.0, 1.0, section, 0.0
    for key, value in attributes.pairs:
        rest = [_number(other) for name, other in occurring if name == key]
        middle = float(np.median(rest))
        if key in SPEED_KEYS:
            speed *= float(np.clip((_number(value) / middle) ** 0.35, 0.6, 1.5))
        elif key in LOAD_KEYS:
            load *= float(np.clip(0.7 + 0.3 * _number(value) / middle, 0.6, 1.7))
        elif key in NOISE_KEYS:
            noise += [key, value]
        elif key in PLACE_KEYS:
            place += [key, value]
        elif key in UNIT_KEYS:
            unit += [key, value]
        elif key in PATTERN_KEYS:
            variant += int(_number(value)) + (3 if key == "v2pat" else 0)
        else:  # n-lv, the level of the noise
            noise_db += 2.0 * (_number(value) - 1.0)
    return Conditions(
        attributes,
        seed_of(*unit),
        seed_of(*place),
        seed_of(*noise),
        speed,
        load,
        variant,
        noise_db,
    )
