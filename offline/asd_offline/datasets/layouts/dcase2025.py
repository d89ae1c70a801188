"""DCASE 2025 Task 2: folders of supplemental data.

Folders and names are those of 2024. ``<machine>/supplemental/`` holds clips of the machine without
noise, or of noise alone. Accounts of their names differ, but all have ``machine`` or ``noise``
before the number: ``section_00_machine_source_0000_noAttribute.wav``,
``section_00_noise_supplemental_normal_0000.wav``.
"""

from functools import partial

from asd_offline.datasets.challenge import ArchiveSet, Challenge, Numbering, Vocabulary
from asd_offline.datasets.layouts import dcase2022, dcase2024
from asd_offline.datasets.layouts.attribute_words import named_attributes
from asd_offline.datasets.layouts.section_names import (
    ANONYMOUS_NAME,
    TEST_NAME,
    TRAIN_NAME,
    parse_section_clip,
    require_single_section,
)
from asd_offline.datasets.parsed_name import ParsedName

_attributes = partial(named_attributes, long_keys=("mic_pos",))


def parse(folder: str, name: str) -> ParsedName:
    """Parse a file name; raises UnrecognisedFileName for any other."""
    return require_single_section(parse_section_clip(folder, name, _attributes), 2025)


VOCABULARY: Vocabulary = {
    **{name: dcase2024.VOCABULARY[name] for name in ("fan", "valve", "ToyCar", "ToyTrain")},
    "gearbox": (("volt_{1.0,1.5,2.0}_wt_{0,100}", "volt_{0.7,2.5}_wt_{50,200}"),),
    "bearing": (("pro_{A,B}_vel_{12,16}_loc_{A,B}", "pro_{A,B}_vel_{8,20}_loc_{C,D}"),),
    "slider": (("pro_{A,B}_vel_{300,700}", "pro_{A,B}_vel_{500,1100}"),),
    "AutoTrash": (("id_{A1,A2,B1}_spd_{1,2}_mic_1", "id_{C1,C2}_spd_{1,2}_mic_2"),),
    "BandSealer": (("spd_{4,6}_n_{A,B}", "spd_{5,7}_n_{C,D}"),),
    "CoffeeGrinder": (
        (
            "mic_imp34dt05_mic_pos_{A,B}_grind_{50,100}_bkg_A",
            "mic_imp#absu_mic_pos_{C,D}_grind_{50,100}_bkg_B",
        ),
    ),
    "HomeCamera": (("id_{A1,A2,B1}_spd_{1,2}_mic_1", "id_{C1,C2}_spd_3_mic_3"),),
    "Polisher": (("pow_{2,4}_n_{A,B}", "pow_{3,5}_n_{C,D}"),),
    "ScrewFeeder": (("vol_{9000,12000}", "vol_{6000,15000}"),),
    "ToyPet": (("id_{A1,A2,B1}_spd_{1,2}_mic_1", "id_{C1,C2}_spd_{1,2}_mic_2"),),
    "ToyRCCar": (("id_{A1,A2,B1}_spd_{2,3}_mic_1", "id_{C1,C2}_spd_{2,3}_mic_2"),),
}

EVAL_MACHINES = (
    "AutoTrash",
    "BandSealer",
    "CoffeeGrinder",
    "HomeCamera",
    "Polisher",
    "ScrewFeeder",
    "ToyPet",
    "ToyRCCar",
)

DCASE2025 = Challenge(
    year=2025,
    sets={
        "dev": dict.fromkeys(dcase2022.MACHINES, ("section_00",)),
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
    supplemental="supplemental",
    hidden_attributes=frozenset(
        {"AutoTrash", "Polisher", "ScrewFeeder", "ToyPet", "ToyTrain", "bearing", "slider"}
    ),
    numbering=dict.fromkeys(("AutoTrash", "ToyPet", "ToyTrain"), Numbering(first_train=1)),
    clip_s={
        "AutoTrash": 6.0,
        "CoffeeGrinder": 5.0,
        "HomeCamera": 6.0,
        "ToyCar": 12.0,
        "ToyRCCar": 7.0,
        "ToyTrain": 12.0,
    },
    archives=(
        ArchiveSet("dev", "development set", 15097779, "dev_{machine}.zip"),
        ArchiveSet("eval", "additional training", 15392814, "eval_data_{machine}_train.zip"),
        ArchiveSet("eval", "evaluation set", 15519362, "eval_data_{machine}_test.zip"),
    ),
    vocabulary=VOCABULARY,
)
