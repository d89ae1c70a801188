"""DCASE 2023 Task 2: one section per machine, other machines in the evaluation set.

Folders and names are those of 2022, always with ``section_00``.
"""

from asd_offline.datasets.challenge import ArchiveSet, Challenge, Vocabulary
from asd_offline.datasets.layouts import dcase2022
from asd_offline.datasets.layouts.section_names import (
    ANONYMOUS_NAME,
    TEST_NAME,
    TRAIN_NAME,
    require_single_section,
)
from asd_offline.datasets.parsed_name import ParsedName


def parse(folder: str, name: str) -> ParsedName:
    """Parse a file name; raises UnrecognisedFileName for any other."""
    return require_single_section(dcase2022.parse(folder, name), 2023)


VOCABULARY: Vocabulary = {
    "bearing": (("vel_{5,9,13,17,21}", "vel_{1,7,15,25}"),),
    "fan": (("m-n_{W,X}", "m-n_{Y,Z}"),),
    "gearbox": (("volt_{1.0,1.5,2.0}_wt_{0,100}", "volt_{0.7,2.5}_wt_{50,200}"),),
    "slider": (("vel_{100,250,400}_ac_{0.03,0.09}", "vel_{50,490}_ac_{0.06,0.12}"),),
    "valve": (("pat_{00,01}", "pat_{06,07}"),),
    "ToyCar": (
        (
            "car_{A1,A2,B1,B2}_spd_{28V,31V}_mic_1_noise_1",
            "car_{C1,C2}_spd_{34V,40V}_mic_1_noise_1",
        ),
    ),
    "ToyTrain": (
        ("car_{A1,A2,B1,B2}_spd_{6,8}_mic_1_noise_1", "car_{C1,C2}_spd_{7,10}_mic_1_noise_1"),
    ),
    "bandsaw": (("vel_{13,15}", "vel_{12,14}"),),
    "grinder": (
        (
            "grindstone_1_plate_1 grindstone_2_plate_2 grindstone_3_plate_3",
            "grindstone_4_plate_{1,2,3}",
        ),
    ),
    "shaker": (("speed_{1000,1500}", "speed_1200"),),
    "ToyDrone": (("car_{A1,A2}_spd_3_mic_1 car_{B1,B2}_spd_2_mic_1", "car_{C1,C2}_spd_1_mic_2"),),
    "ToyNscale": (("car_{A1,A2,B1,B2}_spd_{2,3}_mic_1", "car_{C1,C2}_spd_{1,5}_mic_2"),),
    "ToyTank": (("car_{A1,A2,B1,B2}_spd_{3,4}_mic_1", "car_{C1,C2}_spd_{1,5}_mic_1"),),
    "Vacuum": (
        (
            "car_A1_spd_M_mic_1 car_A2_spd_H_mic_1 car_B1_spd_Lb_mic_1 car_B2_spd_Mb_mic_1",
            "car_C1_spd_Mb_mic_2 car_C2_spd_H_mic_2",
        ),
    ),
}

EVAL_MACHINES = ("ToyDrone", "ToyNscale", "ToyTank", "Vacuum", "bandsaw", "grinder", "shaker")

DCASE2023 = Challenge(
    year=2023,
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
    archives=(
        ArchiveSet("dev", "development set", 7882613, "dev_{machine}.zip"),
        ArchiveSet("eval", "additional training", 7830345, "eval_data_{machine}_train.zip"),
        ArchiveSet("eval", "evaluation set", 7860847, "eval_data_{machine}_test.zip"),
    ),
    vocabulary=VOCABULARY,
)
