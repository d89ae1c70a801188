"""A folder of unsorted recordings: the normal sound of one machine."""

import os
import re
from pathlib import Path

from asd_monitor.errors import DatasetError
from asd_offline.datasets.clip import NORMAL, UNDIVIDED, Clip, Dataset, sort_clips
from asd_offline.datasets.layouts.labelled_folders import LABEL_FOLDERS, SPLIT_FOLDERS
from asd_offline.datasets.scan import Tree

_FAULT_WORD = re.compile(
    r"(?<![a-z])(?:anomal|abnormal|faul|defe[ck]t|broken|damage|fail)", re.IGNORECASE
)
_TEST_CLIP = re.compile(
    r"(?:section_\d+_(?:source|target)_test_.*|section_\d+_\d+|id_\d+_\d+)\.\w+", re.IGNORECASE
)
"""Names of the challenges' test clips."""
_MAX_LISTED_FOLDERS = 5


def open_unlabelled_folder(tree: Tree, machine: str | None) -> Dataset | None:
    """Read all sounds below a folder as training clips of one machine.

    None if there are none, or if folder or file names do show which are for training or test.

    Parameters
    ----------
    tree
        The scanned folder, in no other known layout.
    machine
        Name of the machine; that of the folder if None.

    Raises
    ------
    DatasetError
        If a name indicates a fault, so that not all recordings are normal.
    """
    parent, root = ("", *Path(os.path.abspath(tree.root)).parts)[-2:]
    if root.lower() in ("normal", "train"):
        root = parent  # <machine>/normal was given instead of <machine>
    words = {root.lower(), *(name.lower() for folder in tree.folders for name in folder.relative)}
    has_test_clips = any(_TEST_CLIP.fullmatch(n) for folder in tree.folders for n in folder.names)
    if has_test_clips or words & {*LABEL_FOLDERS, *SPLIT_FOLDERS}:
        return None
    clips = [
        Clip(
            path=folder.path / name,
            year=None,
            machine=machine or root,
            section=UNDIVIDED,
            domain="",
            split="train",
            label=NORMAL,
            name="/".join((*folder.relative, name)),
        )
        for folder in tree.folders
        for name in folder.names
    ]
    if not clips:
        return None
    for clip in clips:
        if _FAULT_WORD.search(f"{root}/{clip.name}"):
            msg = (
                f"{tree.root}: expected only normal sound, since there are no folders normal/ and "
                f"anomaly/, found {root}/{clip.name}; sort the recordings into normal/ and anomaly/"
            )
            raise DatasetError(msg)
    note = _note(tree, clips)
    return Dataset(tree.root, None, sort_clips(clips), tuple(tree.rejected), (note,))


def _note(tree: Tree, clips: list[Clip]) -> str:
    count = "one recording" if len(clips) == 1 else f"{len(clips)} recordings"
    note = (
        f"{tree.root}: {count}, not sorted into normal/ and anomaly/ or train/ and test/: used as "
        f"normal sound of one machine called {clips[0].machine}, all of it for training"
    )
    folders = sorted({folder.relative[0] for folder in tree.folders if folder.relative})
    if not folders:
        return note
    listed = ", ".join(folders[:_MAX_LISTED_FOLDERS])
    more = ", ..." if len(folders) > _MAX_LISTED_FOLDERS else ""
    return (
        f"{note}; its folders are read as one machine ({listed}{more}); for several machines use "
        "<machine>/normal/"
    )
