"""DCASE 2022 Task 2: sections in two domains, which are hidden in the evaluation set.

``<machine>/train/section_<SS>_<domain>_train_normal_<4 digits>_<attributes>.wav``, in ``test`` the
development set's ``section_<SS>_<domain>_test_{normal|anomaly}_<4 digits>_<attributes>.wav`` and
the evaluation set's ``section_<SS>_<4 digits>.wav``; ``attributes_<SS>.csv`` next to the folders.
"""

from asd_offline.datasets.challenge import ArchiveSet, Challenge, Vocabulary
from asd_offline.datasets.layouts.section_names import (
    ANONYMOUS_NAME,
    TEST_NAME,
    TRAIN_NAME,
    attribute_pairs,
    parse_section_clip,
)
from asd_offline.datasets.parsed_name import ParsedName


def parse(folder: str, name: str) -> ParsedName:
    """Parse a file name; raises UnrecognisedFileName for any other."""
    return parse_section_clip(folder, name, attribute_pairs)


VOCABULARY: Vocabulary = {
    "bearing": (
        ("vel_{5,9,13,17,21}", "vel_{1,3,7,11,15,19,23,25}"),
        ("vel_{8,16}_loc_{A,B,C,D}", "vel_{8,16}_loc_{E,F,G,H}"),
        ("vel_{2,10}_f-n_{A,B}", "vel_{2,10}_f-n_D"),
    ),
    "fan": (("m-n_{W,X}", "m-n_{Y,Z}"), ("f-n_{A,B}", "f-n_D"), ("n-lv_{L1,L2}", "n-lv_{L3,L4}")),
    "gearbox": (
        ("volt_{1.0,1.5,2.0,2.5,3.0}", "volt_{0.5,0.7,1.2,1.7,2.2,2.7,3.2,3.7}"),
        ("wt_{0,50,100,150,200}", "wt_{20,70,120,170,220,250}"),
        ("id_{03,06,07}", "id_{01,04,12}"),
    ),
    "slider": (
        ("vel_{100,175,250,325,400}", "vel_{25,50,140,210,290,360,440,490}"),
        ("ac_{0.03,0.05,0.07,0.09,0.11}", "ac_{0.01,0.02,0.04,0.06,0.08,0.10,0.12,0.13}"),
        ("f-n_{A,B}", "f-n_D"),
    ),
    "valve": (
        ("pat_{00,01}", "pat_{06,07}"),
        ("pat_{04,05}_panel_{open,bs-c}", "pat_{04,05}_panel_{b-c,s-c}"),
        ("v1pat_{04,05} v2pat_05", "v1pat_{04,05}_v2pat_05"),
    ),
    "ToyCar": (
        (
            "car_{F1,F2,H1,H2}_spd_{31V,34V}_mic_1_noise_6",
            "car_{G1,G2}_spd_{31V,34V}_mic_1_noise_6",
        ),
        ("car_{F1,F2}_spd_{31V,37V}_mic_1_noise_6", "car_{F1,F2}_spd_{28V,40V}_mic_1_noise_6"),
        (
            "car_{F1,F2,H1,H2}_spd_{34V,37V}_mic_1_noise_6",
            "car_{G1,G2}_spd_{28V,40V}_mic_1_noise_6",
        ),
    ),
    "ToyTrain": (
        ("car_{F1,F2,H1,H2}_spd_{7,8}_mic_1_noise_6", "car_{G1,G2}_spd_{7,8}_mic_1_noise_6"),
        ("car_{F1,F2}_spd_{7,9}_mic_1_noise_6", "car_{F1,F2}_spd_{6,10}_mic_1_noise_6"),
        ("car_{F1,F2,H1,H2}_spd_{8,9}_mic_1_noise_6", "car_{G1,G2}_spd_{6,10}_mic_1_noise_7"),
    ),
}

MACHINES = ("ToyCar", "ToyTrain", "bearing", "fan", "gearbox", "slider", "valve")

DCASE2022 = Challenge(
    year=2022,
    sets={
        "dev": dict.fromkeys(MACHINES, ("section_00", "section_01", "section_02")),
        "eval": dict.fromkeys(MACHINES, ("section_03", "section_04", "section_05")),
    },
    parse=parse,
    train_name=TRAIN_NAME,
    test_name=TEST_NAME,
    anonymous_name=ANONYMOUS_NAME,
    training_clips={"source": 990, "target": 10},
    attribute_lists=True,
    ground_truth_attributes="table",
    archives=(
        ArchiveSet("dev", "development set", 6355122, "dev_{machine}.zip"),
        ArchiveSet("eval", "additional training", 6462969, "eval_data_{machine}_train.zip"),
        ArchiveSet("eval", "evaluation set", 6586456, "eval_data_{machine}_test.zip"),
    ),
    vocabulary=VOCABULARY,
)
