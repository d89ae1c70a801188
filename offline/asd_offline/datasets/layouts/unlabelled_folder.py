"""A folder of recordings that nobody has sorted: the normal sound of one machine."""

import os
import re
from pathlib import Path

from asd_monitor.errors import DatasetError
from asd_offline.datasets.clip import NORMAL, Clip, Dataset, in_order
from asd_offline.datasets.layouts.labelled_folders import LABEL_FOLDERS, SPLIT_FOLDERS, WHOLE
from asd_offline.datasets.scan import Tree

_FAULTY = re.compile(
    r"(?<![a-z])(?:anomal|abnormal|faul|defe[ck]t|broken|damage|fail)", re.IGNORECASE
)
_TEST_CLIP = re.compile(
    r"(?:section_\d+_(?:source|target)_test_.*|section_\d+_\d+|id_\d+_\d+)\.\w+", re.IGNORECASE
)
"""Names of the challenges' test clips."""
_FOLDERS_SHOWN = 5


def open_plain(tree: Tree, machine: str | None) -> Dataset | None:
    """Take all sounds below a folder for training clips of one machine.

    None if there are none, or if folders or names do say what is for training or test.

    Parameters
    ----------
    tree
        The scanned folder, in no other known arrangement.
    machine
        Its name; that of the folder if None.

    Raises
    ------
    DatasetError
        If a name speaks of faults, so that not everything can be normal.
    """
    above, root = ("", *Path(os.path.abspath(tree.root)).parts)[-2:]
    if root.lower() in ("normal", "train"):
        root = above  # <machine>/normal was given in place of <machine>
    words = {root.lower(), *(part.lower() for each in tree.folders for part in each.relative)}
    named = any(_TEST_CLIP.fullmatch(name) for each in tree.folders for name in each.names)
    if named or words & {*LABEL_FOLDERS, *SPLIT_FOLDERS}:
        return None
    name = machine or root
    clips = [
        Clip(
            path=folder.path / each,
            year=None,
            machine=name,
            section=WHOLE,
            domain="",
            split="train",
            label=NORMAL,
            name="/".join((*folder.relative, each)),
        )
        for folder in tree.folders
        for each in folder.names
    ]
    if not clips:
        return None
    for clip in clips:
        if _FAULTY.search(f"{root}/{clip.name}"):
            msg = (
                f"{tree.root}: expected nothing but normal sound where there is no normal/ and no "
                f"anomaly/, found {root}/{clip.name}; sort the recordings into normal/ and anomaly/"
            )
            raise DatasetError(msg)
    return Dataset(tree.root, None, in_order(clips), tuple(tree.rejected), (_note(tree, clips),))


def _note(tree: Tree, clips: list[Clip]) -> str:
    count = "one recording" if len(clips) == 1 else f"{len(clips)} recordings"
    note = (
        f"{tree.root}: {count}, not sorted into normal/ and anomaly/ or train/ and test/: taken as "
        f"normal sound of one machine called {clips[0].machine}, all of it for training"
    )
    folders = sorted({folder.relative[0] for folder in tree.folders if folder.relative})
    if not folders:
        return note
    more = ", ..." if len(folders) > _FOLDERS_SHOWN else ""
    together = f"{', '.join(folders[:_FOLDERS_SHOWN])}{more}"
    return f"{note}; its folders are taken together ({together}), and <machine>/normal/ parts them"
