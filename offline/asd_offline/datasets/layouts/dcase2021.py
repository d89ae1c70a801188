"""DCASE 2021 Task 2: sections in two domains, which are known at test.

``<machine>/train/section_<SS>_<domain>_train_normal_<4 digits>_<conditions>.wav``; test clips in
``source_test`` and ``target_test``: ``section_<SS>_<domain>_test_{normal|anomaly}_<4 digits>.wav``,
in the evaluation set without the label.
"""

from asd_offline.datasets.challenge import ArchiveSet, Challenge, ParsedName, UnrecognisedFileName
from asd_offline.datasets.clip import NORMAL
from asd_offline.datasets.layouts.section_names import check_training, read


def parse(folder: str, name: str) -> ParsedName:
    """Read one name; raises UnrecognisedFileName for any other."""
    parts = read(name)
    conditions = (("condition", parts.tail),) if parts.tail else ()
    if folder == "train":
        check_training(parts)
        return ParsedName(parts.section, parts.domain, "train", NORMAL, parts.index, conditions)
    if folder not in ("source_test", "target_test"):
        msg = f"{folder}/ is no folder of 2021: expected train/, source_test/ or target_test/"
        raise UnrecognisedFileName(msg)
    if parts.split != "test":
        msg = f"expected section_<SS>_<domain>_test_... in {folder}/"
        raise UnrecognisedFileName(msg)
    if not folder.startswith(parts.domain):
        msg = f"the name says {parts.domain}, the folder is {folder}/"
        raise UnrecognisedFileName(msg)
    return ParsedName(parts.section, parts.domain, "test", parts.label, parts.index, conditions)


DCASE2021 = Challenge(
    year=2021,
    folders=("train", "source_test", "target_test"),
    parse=parse,
    archives=(
        ArchiveSet("dev", "development set", 4562016, "dev_data_{machine}.zip"),
        ArchiveSet("eval", "additional training", 4660992, "eval_data_{machine}_train.zip"),
        ArchiveSet("eval", "evaluation set", 4884786, "eval_data_{machine}_test.zip"),
    ),
)
