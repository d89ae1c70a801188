"""DCASE 2020 Task 2: machine ids, no domains.

``<machine>/train/normal_id_<II>_<8 digits>.wav``, in ``test`` the development set's
``{normal|anomaly}_id_<II>_<8 digits>.wav`` and the evaluation set's ``id_<II>_<8 digits>.wav``.
The recordings that commissioning keeps have the same form, under the machine's own name.
"""

import re

from asd_offline.datasets.challenge import ArchiveSet, Challenge, ParsedName, UnrecognisedFileName
from asd_offline.datasets.clip import ANOMALY, NORMAL

NAME = re.compile(r"(?:(normal|anomaly)_)?(id_\d{2,})_(\d+)\.wav", re.IGNORECASE | re.ASCII)
LABELS = {"normal": NORMAL, "anomaly": ANOMALY}


def parse(folder: str, name: str) -> ParsedName:
    """Read one name; raises UnrecognisedFileName for any other."""
    match = NAME.fullmatch(name)
    if match is None:
        msg = "expected a name such as normal_id_00_00000000.wav"
        raise UnrecognisedFileName(msg)
    word, section, digits = match.groups()
    label = LABELS[word.lower()] if word else None
    if folder == "train":
        if label != NORMAL:
            msg = "only normal_... belongs in train/, and no other clip may be trained on"
            raise UnrecognisedFileName(msg)
        return ParsedName(section.lower(), "", "train", NORMAL, int(digits))
    if folder == "test":
        return ParsedName(section.lower(), "", "test", label, int(digits))
    msg = f"{folder}/ is no folder of 2020: expected train/ or test/"
    raise UnrecognisedFileName(msg)


DCASE2020 = Challenge(
    year=2020,
    folders=("train", "test"),
    parse=parse,
    has_domains=False,
    archives=(
        ArchiveSet("dev", "development set", 3678171, "dev_data_{machine}.zip"),
        ArchiveSet("eval", "additional training", 3727685, "eval_data_train_{machine}.zip"),
        ArchiveSet("eval", "evaluation set", 3841772, "eval_data_test_{machine}.zip"),
    ),
)
