"""DCASE 2022 Task 2: sections in two domains, which are hidden in the evaluation set.

``<machine>/train/section_<SS>_<domain>_train_normal_<4 digits>_<attributes>.wav``, in ``test`` the
development set's ``section_<SS>_<domain>_test_{normal|anomaly}_<4 digits>_<attributes>.wav`` and
the evaluation set's ``section_<SS>_<4 digits>.wav``; ``attributes_<SS>.csv`` beside the folders.
"""

from asd_offline.datasets.challenge import ArchiveSet, Challenge, ParsedName, UnrecognisedFileName
from asd_offline.datasets.clip import NORMAL
from asd_offline.datasets.layouts.section_names import attribute_pairs, check_training, read


def parse(folder: str, name: str) -> ParsedName:
    """Read one name; raises UnrecognisedFileName for any other."""
    parts = read(name)
    attributes = attribute_pairs(parts.tail)
    if folder == "train":
        check_training(parts)
        return ParsedName(parts.section, parts.domain, "train", NORMAL, parts.index, attributes)
    if folder != "test":
        msg = f"{folder}/ is no folder of 2022 and later: expected train/ or test/"
        raise UnrecognisedFileName(msg)
    if parts.split == "train":
        msg = "a training clip in test/"
        raise UnrecognisedFileName(msg)
    return ParsedName(parts.section, parts.domain, "test", parts.label, parts.index, attributes)


DCASE2022 = Challenge(
    year=2022,
    folders=("train", "test"),
    parse=parse,
    has_attribute_lists=True,
    archives=(
        ArchiveSet("dev", "development set", 6355122, "dev_{machine}.zip"),
        ArchiveSet("eval", "additional training", 6462969, "eval_data_{machine}_train.zip"),
        ArchiveSet("eval", "evaluation set", 6586456, "eval_data_{machine}_test.zip"),
    ),
)
