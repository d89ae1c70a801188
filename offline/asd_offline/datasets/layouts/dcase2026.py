"""DCASE 2026 Task 2: stereo clips of a microphone near the machine and one away from it.

Folders and names are those of 2024. Channel 0 is near the machine. In the sets of some machines
(``...Emu``) the far channel is emulated.
"""

from dataclasses import replace

from asd_offline.datasets.challenge import ArchiveSet, Challenge, Numbering, Vocabulary
from asd_offline.datasets.layouts import dcase2023, dcase2024, dcase2025
from asd_offline.datasets.layouts.attribute_words import named_attributes
from asd_offline.datasets.layouts.section_names import (
    ANONYMOUS_NAME,
    TEST_NAME,
    TRAIN_NAME,
    parse_section_clip,
    require_single_section,
)
from asd_offline.datasets.parsed_name import ParsedName

PRODUCT_KEY = "pro"
"""The value of this attribute is in lower case in the names of some test clips."""


def parse(folder: str, name: str) -> ParsedName:
    """Parse a file name; raises UnrecognisedFileName for any other."""
    parsed = require_single_section(parse_section_clip(folder, name, named_attributes), 2026)
    attributes = tuple(
        (key, value.upper() if key == PRODUCT_KEY else value) for key, value in parsed.attributes
    )
    return replace(parsed, attributes=attributes)


VOCABULARY: Vocabulary = {
    "ToyCar": dcase2023.VOCABULARY["ToyCar"],
    "ToyCarEmu": (("car_{A1,A2,B1}_spd_{4,5}_mic_1_mic_1", "car_{D1,D2}_spd_{4,5}_mic_2_mic_1"),),
    "bearingEmu": dcase2025.VOCABULARY["bearing"],
    "fan": (("spd_{1,2}", "spd_3"),),
    "gearboxEmu": (("pro_{A,B,C,D,E,F}", "pro_{X,Y,Z}"),),
    "sliderEmu": dcase2025.VOCABULARY["slider"],
    "valveEmu": dcase2023.VOCABULARY["valve"],
    "BlowerDustCollector": (("nzl_{1,2}_pow_{1,2}", "nzl_3_pow_3"),),
    "Sander": (("spd_{2,4}_grit_{80,120}", "spd_{3,5}_grit_240"),),
    "SewingMachine": (
        ("mat_{towel,denim}_lay_{1,2}_mode_A_spd_{1,2}", "mat_felt_lay_3_mode_B_spd_3"),
    ),
    "ToothBrush": dcase2024.VOCABULARY["ToothBrush"],
    "ToyDrone": (("car_{A1,A2}_spd_{1,2}_mic_1_mic_1", "car_{B1,B2}_spd_{1,2}_mic_2_mic_1"),),
}

DEV_MACHINES = ("ToyCar", "ToyCarEmu", "bearingEmu", "fan", "gearboxEmu", "sliderEmu", "valveEmu")
EVAL_MACHINES = ("BlowerDustCollector", "Sander", "SewingMachine", "ToothBrush", "ToyDrone")

DCASE2026 = Challenge(
    year=2026,
    sets={
        "dev": dict.fromkeys(DEV_MACHINES, ("section_00",)),
        "eval": dict.fromkeys(EVAL_MACHINES, ("section_00",)),
    },
    parse=parse,
    train_name=TRAIN_NAME,
    test_name=TEST_NAME,
    anonymous_name=ANONYMOUS_NAME,
    training_clips={"source": 990, "target": 10},
    single_section=True,
    attribute_lists=True,
    ground_truth_attributes="names",
    channels=2,
    hidden_attributes=frozenset(
        {"SewingMachine", "ToothBrush", "ToyCar", "bearingEmu", "sliderEmu", "valveEmu"}
    ),
    repeated_keys=frozenset({"ToyCarEmu", "ToyDrone"}),
    numbering=dict.fromkeys(("ToyCar", "ToyCarEmu"), Numbering(one_test_series=True)),
    # Lengths of 6, 10 and 16 s occur in the evaluation set; of which machines is an assumption.
    clip_s={"ToyCar": 11.0, "ToyCarEmu": 12.0, "ToothBrush": 6.0, "BlowerDustCollector": 16.0},
    archives=(
        ArchiveSet(
            "dev",
            "development set",
            19336329,
            "dev_{machine}.zip",
            {"ToyCar": "dev_ToyCar_r2.zip"},
        ),
        ArchiveSet("eval", "additional training", 20151556, "eval_data_{machine}_train.zip"),
        ArchiveSet("eval", "evaluation set", 20437238, "eval_data_{machine}_test.zip"),
    ),
    vocabulary=VOCABULARY,
)
