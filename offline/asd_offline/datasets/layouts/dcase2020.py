"""DCASE 2020 Task 2: machine ids, no domains.

``<machine>/train/normal_id_<II>_<8 digits>.wav``, in ``test`` the development set's
``{normal|anomaly}_id_<II>_<8 digits>.wav`` and the evaluation set's ``id_<II>_<8 digits>.wav``.
The recordings that commissioning keeps have the same form, under the machine's own name.
"""

from asd_offline.datasets.challenge import ArchiveSet, Challenge
from asd_offline.datasets.clip import NORMAL
from asd_offline.datasets.layouts.id_names import ANONYMOUS_NAME, LABELLED_NAME, parse_id_name
from asd_offline.datasets.parsed_name import ParsedName, UnrecognisedFileName


def parse(folder: str, name: str) -> ParsedName:
    """Parse a file name; raises UnrecognisedFileName for any other."""
    parts = parse_id_name(name)
    if folder == "train":
        if parts.label != NORMAL:
            msg = "only normal_... belongs in train/, and no other clip may be trained on"
            raise UnrecognisedFileName(msg)
        return ParsedName(parts.section, "", "train", NORMAL, parts.index)
    if folder == "test":
        return ParsedName(parts.section, "", "test", parts.label, parts.index)
    msg = f"{folder}/ is not a folder of 2020: expected train/ or test/"
    raise UnrecognisedFileName(msg)


_MACHINES = ("fan", "pump", "slider", "valve")

DCASE2020 = Challenge(
    year=2020,
    sets={
        "dev": {
            **dict.fromkeys(_MACHINES, ("id_00", "id_02", "id_04", "id_06")),
            "ToyCar": ("id_01", "id_02", "id_03", "id_04"),
            "ToyConveyor": ("id_01", "id_02", "id_03"),
        },
        "eval": {
            **dict.fromkeys(_MACHINES, ("id_01", "id_03", "id_05")),
            "ToyCar": ("id_05", "id_06", "id_07"),
            "ToyConveyor": ("id_04", "id_05", "id_06"),
        },
    },
    parse=parse,
    train_name=LABELLED_NAME,
    test_name=LABELLED_NAME,
    anonymous_name=ANONYMOUS_NAME,
    section_word="id",
    domains=(),
    label_lists=("eval_data_list.csv", "eval_data_list_2020.csv"),
    machine_order=(*_MACHINES, "ToyCar", "ToyConveyor"),
    archives=(
        ArchiveSet("dev", "development set", 3678171, "dev_data_{machine}.zip"),
        ArchiveSet("eval", "additional training", 3727685, "eval_data_train_{machine}.zip"),
        ArchiveSet("eval", "evaluation set", 3841772, "eval_data_test_{machine}.zip"),
    ),
)
