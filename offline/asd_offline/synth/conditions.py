"""Convert a clip's attributes to the operating conditions of the simulation."""

import re
from dataclasses import dataclass

import numpy as np

from asd_offline.datasets.challenge import Challenge
from asd_offline.synth.attributes import Attributes, attributes_of
from asd_offline.synth.seeds import derive_seed

SPEED_KEYS = frozenset({"vel", "spd", "speed", "volt", "pow", "vol"})
LOAD_KEYS = frozenset({"wt", "ac", "weight", "grind", "fl", "lay"})
NOISE_KEYS = frozenset({"f-n", "m-n", "n", "noise", "nos", "Bckg", "bkg"})
PLACE_KEYS = frozenset({"loc", "mic", "mic_pos", "mic_2", "panel"})
PATTERN_KEYS = frozenset({"pat", "v1pat", "v2pat", "res", "len"})
LEVEL_KEY = "n-lv"
NAMED_STEPS = {"Lb": 1.0, "L": 1.0, "Mb": 2.0, "M": 2.2, "H": 3.0}


@dataclass(frozen=True, slots=True)
class Conditions:
    """Operating conditions that follow from a clip's attributes, section and domain."""

    attributes: Attributes
    unit_seed: int
    """Seed of the machine's manufacturing tolerances."""
    room_seed: int
    """Seed of the room and the microphone."""
    hall_seed: int
    """Seed of the factory noise."""
    speed: float
    load: float
    variant: int
    noise_db: float
    """Level of the background relative to the dataset's signal-to-noise ratio."""


def _number(value: str) -> float:
    digits = re.sub(r"[^0-9.]", "", value)
    return float(digits) if digits else NAMED_STEPS.get(value, 1.0)


def conditions_of(
    seed: int,
    challenge: Challenge,
    machine: str,
    section: int,
    domain: str,
    attributes: Attributes,
) -> Conditions:
    """Return the operating conditions that the attributes describe.

    Speed and load are relative to the median of the values that occur in the section, so the
    two domains differ in sound as their attribute values differ.
    """
    occurring = [
        pair
        for other_domain in ("source", "target")
        for other in attributes_of(challenge, machine, section, other_domain)
        for pair in other.pairs
    ]
    identity: list[object] = [seed, challenge.year, machine, section]
    unit, room, hall = [*identity, "unit"], [*identity, "place"], [seed, machine, "noise"]
    speed, load, variant, noise_db = 1.0, 1.0, section, 0.0
    for key, value in attributes.pairs:
        values = [_number(other) for name, other in occurring if name == key]
        median = float(np.median(values))
        if key in SPEED_KEYS:
            speed *= float(np.clip((_number(value) / median) ** 0.35, 0.6, 1.5))
        elif key in LOAD_KEYS:
            load *= float(np.clip(0.7 + 0.3 * _number(value) / median, 0.6, 1.7))
        elif key in NOISE_KEYS:
            hall += [key, value]
        elif key in PLACE_KEYS:
            room += [key, value]
        elif key in PATTERN_KEYS:
            variant += int(_number(value)) + (3 if key == "v2pat" else 0)
        elif key == LEVEL_KEY:
            noise_db += 2.0 * (_number(value) - 1.0)
        else:  # a product, a tool or a machine: another unit
            unit += [key, value]
    return Conditions(
        attributes,
        derive_seed(*unit),
        derive_seed(*room),
        derive_seed(*hall),
        speed,
        load,
        variant,
        noise_db,
    )
