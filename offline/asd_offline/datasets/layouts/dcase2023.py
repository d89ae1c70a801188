"""DCASE 2023 Task 2: one section per machine, other machines in the evaluation set.

Folders and names are those of 2022, always with ``section_00``.
"""

from asd_offline.datasets.challenge import ArchiveSet, Challenge, ParsedName, UnrecognisedFileName
from asd_offline.datasets.layouts import dcase2022


def parse(folder: str, name: str) -> ParsedName:
    """Read one name; raises UnrecognisedFileName for any other."""
    named = dcase2022.parse(folder, name)
    if named.section != "section_00":
        msg = f"{named.section} in 2023, where every machine has section_00 only"
        raise UnrecognisedFileName(msg)
    return named


DCASE2023 = Challenge(
    year=2023,
    folders=("train", "test"),
    parse=parse,
    has_attribute_lists=True,
    archives=(
        ArchiveSet("dev", "development set", 7882613, "dev_{machine}.zip"),
        ArchiveSet("eval", "additional training", 7830345, "eval_data_{machine}_train.zip"),
        ArchiveSet("eval", "evaluation set", 7860847, "eval_data_{machine}_test.zip"),
    ),
)
