"""DCASE 2021 Task 2: sections in two domains, which are known at test.

``<machine>/train/section_<SS>_<domain>_train_normal_<4 digits>_<conditions>.wav``; test clips in
``source_test`` and ``target_test``: ``section_<SS>_<domain>_test_{normal|anomaly}_<4 digits>.wav``,
in the evaluation set without the label. Conditions are free text.
"""

from asd_offline.datasets.challenge import ArchiveSet, Challenge, Vocabulary
from asd_offline.datasets.clip import NORMAL
from asd_offline.datasets.layouts.section_names import (
    TEST_NAME,
    TRAIN_NAME,
    check_training,
    parse_section_name,
)
from asd_offline.datasets.parsed_name import ParsedName, UnrecognisedFileName


def parse(folder: str, name: str) -> ParsedName:
    """Parse a file name; raises UnrecognisedFileName for any other."""
    parts = parse_section_name(name)
    conditions = (("condition", parts.tail),) if parts.tail else ()
    if folder == "train":
        check_training(parts)
        return ParsedName(parts.section, parts.domain, "train", NORMAL, parts.index, conditions)
    if folder not in ("source_test", "target_test"):
        msg = f"{folder}/ is not a folder of 2021: expected train/, source_test/ or target_test/"
        raise UnrecognisedFileName(msg)
    if parts.split != "test":
        msg = f"expected section_<SS>_<domain>_test_... in {folder}/"
        raise UnrecognisedFileName(msg)
    if not folder.startswith(parts.domain):
        msg = f"the name says {parts.domain}, the folder is {folder}/"
        raise UnrecognisedFileName(msg)
    return ParsedName(parts.section, parts.domain, "test", parts.label, parts.index, conditions)


VOCABULARY: Vocabulary = {
    "fan": (
        ("strength_{1,2}_ambient=n-lv_{1,2}", "strength_{3,4}_ambient=n-lv_{3,4}"),
        ("ambient_{A,B}=f-n_{A,B}", "ambient_{C,D}=f-n_{C,D}"),
        ("volt_{20,24}=volt_{20,24}", "volt_{16,28}=volt_{16,28}"),
    ),
    "gearbox": (
        (
            "0_g_25_mm_{1500,2000}_mV_none=volt_{1500,2000}",
            "0_g_25_mm_{1200,2500}_mV_none=volt_{1200,2500}",
        ),
        ("{0,50}_g_25_mm_2000_mV_none=wt_{0,50}", "{120,200}_g_25_mm_2000_mV_none=wt_{120,200}"),
        ("0_g_25_mm_2000_mV_{none,a}=f-n_{A,B}", "0_g_25_mm_2000_mV_b=f-n_D"),
    ),
    "pump": (
        ("level_{1,2}=n-lv_{1,2}", "level_{3,4}=n-lv_{3,4}"),
        ("place_{A,B}=loc_{A,B}", "place_{C,D}=loc_{C,D}"),
        ("load_{50,100}=wt_{50,100}", "load_{20,200}=wt_{20,200}"),
    ),
    "slider": (
        ("vel_{200,300}=vel_{200,300}", "vel_{120,420}=vel_{120,420}"),
        ("acc_{4,8}=wt_{40,80}", "acc_{2,16}=wt_{20,160}"),
        ("ambient_{A,B}=f-n_{A,B}", "ambient_{C,D}=f-n_{C,D}"),
    ),
    "valve": (
        ("pat_{0,1}=pat_{00,01}", "pat_{2,3}=pat_{02,03}"),
        ("panel_{open,a}=panel_{open,a}", "panel_{b,c}=panel_{b,c}"),
        ("pat_{4,5}=pat_{04,05}", "pat_{6,7}=pat_{06,07}"),
    ),
    "ToyCar": (
        (
            "A{1,2}Spd{28,31}VMic1=car_A{1,2}_spd_{28,31}_mic_1",
            "C{1,2}Spd{28,31}VMic1=car_C{1,2}_spd_{28,31}_mic_1",
        ),
        (
            "B{1,2}Spd{31,34}VMic1=car_B{1,2}_spd_{31,34}_mic_1",
            "B{1,2}Spd{28,40}VMic1=car_B{1,2}_spd_{28,40}_mic_1",
        ),
        (
            "A{1,2}Spd{28,31}VMic1=car_A{1,2}_spd_{28,31}_mic_1",
            "A{1,2}Spd{28,31}VMic2=car_A{1,2}_spd_{28,31}_mic_2",
        ),
    ),
    "ToyTrain": (
        (
            "A{1,2}Spd{6,8}Mic1=car_A{1,2}_spd_{6,8}_mic_1",
            "C{1,2}Spd{6,8}Mic1=car_C{1,2}_spd_{6,8}_mic_1",
        ),
        (
            "B{1,2}Spd{7,8}Mic1=car_B{1,2}_spd_{7,8}_mic_1",
            "B{1,2}Spd{6,10}Mic1=car_B{1,2}_spd_{6,10}_mic_1",
        ),
        (
            "A{1,2}Spd{6,8}Mic1=car_A{1,2}_spd_{6,8}_mic_1",
            "A{1,2}Spd{6,8}Mic2=car_A{1,2}_spd_{6,8}_mic_2",
        ),
    ),
}

MACHINES = ("ToyCar", "ToyTrain", "fan", "gearbox", "pump", "slider", "valve")

DCASE2021 = Challenge(
    year=2021,
    sets={
        "dev": dict.fromkeys(MACHINES, ("section_00", "section_01", "section_02")),
        "eval": dict.fromkeys(MACHINES, ("section_03", "section_04", "section_05")),
    },
    parse=parse,
    train_name=TRAIN_NAME,
    test_name=TEST_NAME.replace("{tail}", ""),
    anonymous_name="{section}_{domain}_test_{index:04d}.wav",
    training_clips={"source": 1000, "target": 3},
    domain_folders=True,
    archives=(
        ArchiveSet("dev", "development set", 4562016, "dev_data_{machine}.zip"),
        ArchiveSet("eval", "additional training", 4660992, "eval_data_{machine}_train.zip"),
        ArchiveSet("eval", "evaluation set", 4884786, "eval_data_{machine}_test.zip"),
    ),
    vocabulary=VOCABULARY,
)
