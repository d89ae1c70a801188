"""DCASE 2024 Task 2: machines of which some hide their attributes.

Folders and names are those of 2023. Names of clips whose attributes are hidden end with
``noAttribute``, and ``attributes_00.csv`` lists only their names. Some machines number their clips
from 1, and the ground truth of three lists names in two forms.
"""

from asd_offline.datasets.challenge import ArchiveSet, Challenge, Numbering, Vocabulary
from asd_offline.datasets.layouts import dcase2022, dcase2023
from asd_offline.datasets.layouts.attribute_words import named_attributes
from asd_offline.datasets.layouts.section_names import (
    ANONYMOUS_NAME,
    TEST_NAME,
    TRAIN_NAME,
    parse_section_clip,
    require_single_section,
)
from asd_offline.datasets.parsed_name import ParsedName


def parse(folder: str, name: str) -> ParsedName:
    """Parse a file name; raises UnrecognisedFileName for any other."""
    return require_single_section(parse_section_clip(folder, name, named_attributes), 2024)


VOCABULARY: Vocabulary = {
    **{name: dcase2023.VOCABULARY[name] for name in ("bearing", "fan", "valve", "ToyCar")},
    "gearbox": (("pro_{A,B}_wt_{0,100}", "pro_{C,D}_wt_{50,200}"),),
    "slider": (("ac_{0.03,0.09}", "ac_{0.06,0.12}"),),
    "ToyTrain": (("car_{A1,A2,B1,B2}_spd_{6,8}_mic_1", "car_{C1,C2}_spd_{7,10}_mic_1"),),
    "3DPrinter": (("mdl_{A,B}_spd_{1,2}", "mdl_{C,D}_spd_3"),),
    "AirCompressor": (("fl_{1,2}_nos_{1,2}", "fl_3_nos_3"),),
    "BrushlessMotor": (
        (
            "spd{1000,2000}_Bckg{A,B}",
            "spd{1500,2500}_Bckg{C,D}",
        ),
    ),
    "HairDryer": (("id_{A1,A2,B1}_spd_{1,2}_mic_1", "id_{C1,C2}_spd_{1,2}_mic_2"),),
    "HoveringDrone": (("id_{A1,A2,B1}_spd_{1,2}_mic_1", "id_{B2,C1}_spd_3_mic_1"),),
    "RoboticArm": (
        (
            "weight{5,15}_Bckg{A,B}",
            "weight{10,25}_Bckg{E,F}",
        ),
    ),
    "Scanner": (("res_{1,2}_len_{1,2}", "res_3_len_3"),),
    "ToothBrush": (("id_{A1,A2,A3}_spd_{1,2}_mic_1", "id_{B1,B2}_spd_3_mic_1"),),
    "ToyCircuit": (("id_{A1,A2,B1}_spd_{2,3}_mic_1", "id_{C1,C2}_spd_4_mic_2"),),
}

EVAL_MACHINES = (
    "3DPrinter",
    "AirCompressor",
    "BrushlessMotor",
    "HairDryer",
    "HoveringDrone",
    "RoboticArm",
    "Scanner",
    "ToothBrush",
    "ToyCircuit",
)

_FROM_1 = Numbering(first_train=1, first_test=1)

DCASE2024 = Challenge(
    year=2024,
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
    hidden_attributes=frozenset(
        {
            "AirCompressor",
            "BrushlessMotor",
            "HoveringDrone",
            "ToothBrush",
            "ToyTrain",
            "gearbox",
            "slider",
        }
    ),
    full_name_column=frozenset({"AirCompressor", "HoveringDrone", "ToothBrush"}),
    names_without_split=frozenset({"RoboticArm"}),
    numbering={
        "3DPrinter": Numbering(first_test=1),
        "AirCompressor": _FROM_1,
        "BrushlessMotor": Numbering(one_train_series=True),
        "HoveringDrone": Numbering(first_train=1),
        "Scanner": Numbering(first_test=1),
        "ToothBrush": Numbering(first_train=1),
        **dict.fromkeys(("ToyTrain", "gearbox", "slider"), _FROM_1),
    },
    clip_s={
        "BrushlessMotor": 6.5,
        "HairDryer": 7.0,
        "HoveringDrone": 8.0,
        "RoboticArm": 7.90225,
        "ToothBrush": 6.0,
        "ToyCar": 12.0,
        "ToyCircuit": 8.0,
        "ToyTrain": 12.0,
    },
    archives=(
        ArchiveSet("dev", "development set", 10902294, "dev_{machine}.zip"),
        ArchiveSet(
            "eval",
            "additional training",
            11259435,
            "eval_data_{machine}_train.zip",
            {
                "3DPrinter": "eval_data_3DPrinter_train_r2.zip",
                "RoboticArm": "eval_data_RoboticArm_train_r2.zip",
            },
        ),
        ArchiveSet("eval", "evaluation set", 11363076, "eval_data_{machine}_test.zip"),
    ),
    vocabulary=VOCABULARY,
)
