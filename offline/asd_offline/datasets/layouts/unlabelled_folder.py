"""A folder of unsorted recordings: the normal sound of one machine."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from asd_monitor.audio.label_words import find_labels, parse_folder
from asd_monitor.errors import DatasetError
from asd_offline.datasets.clip import (
    ANOMALY,
    NORMAL,
    UNDIVIDED,
    Clip,
    Dataset,
    Rejected,
    sort_clips,
)
from asd_offline.datasets.layouts.labelled_folders import LIST_HINT, NOISE_REASON
from asd_offline.datasets.scan import Folder, Tree

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
    meaning = parse_folder(root)
    if not meaning.is_name and ANOMALY not in meaning.labels and meaning.split in (None, "train"):
        root = parent  # <machine>/normal was given instead of <machine>
    folders = [parse_folder(name) for name in (root, *_names_of_folders(tree.folders))]
    has_test_clips = any(_TEST_CLIP.fullmatch(n) for folder in tree.folders for n in folder.names)
    if has_test_clips or any(folder.split for folder in folders):
        return None
    noise = [folder for folder in tree.folders if _is_noise(folder)]
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
        if folder not in noise
        for name in folder.names
    ]
    if not clips:
        return None
    for clip in clips:
        if any(ANOMALY in find_labels(part) for part in (root, *Path(clip.name).parts)):
            msg = (
                f"{tree.root}: expected only normal sound, since there are no folders normal/ and "
                f"anomaly/, found {root}/{clip.name}; {LIST_HINT}"
            )
            raise DatasetError(msg)
    rejected = [Rejected(each.path / name, NOISE_REASON) for each in noise for name in each.names]
    note = _note(tree, clips)
    return Dataset(tree.root, None, sort_clips(clips), (*tree.rejected, *rejected), (note,))


def _names_of_folders(folders: Iterable[Folder]) -> set[str]:
    return {name for folder in folders for name in folder.relative}


def _is_noise(folder: Folder) -> bool:
    return any(parse_folder(name).is_noise for name in folder.relative)


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
