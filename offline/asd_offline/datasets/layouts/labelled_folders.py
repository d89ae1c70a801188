"""Recordings in folders called ``normal`` and ``anomaly``, perhaps within ``train`` and ``test``.

``normal/``, ``anomaly/`` (or ``abnormal/``), ``train/`` and ``test/`` may be nested in any order
and depth. Sounds in ``train/`` are normal unless a folder says otherwise; the label of those in
``test/`` is unknown. Folders of any other name are a machine, and below it a section:
``pump/id_00/normal/a.wav``.
"""

import os
from pathlib import Path

from asd_offline.datasets.clip import (
    ANOMALY,
    NORMAL,
    UNDIVIDED,
    Clip,
    Dataset,
    Rejected,
    Split,
    sort_clips,
)
from asd_offline.datasets.scan import Folder, Tree
from asd_offline.datasets.train_split import assign_train_split

LABEL_FOLDERS = {"normal": NORMAL, "anomaly": ANOMALY, "abnormal": ANOMALY}
SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train",
    "test": "test",
    "source_test": "test",
    "target_test": "test",
}


def open_labelled_folders(tree: Tree) -> Dataset | None:
    """Read a scanned folder by its folder names; None if they show neither label nor split."""
    clips: list[Clip] = []
    explicit: set[Path] = set()
    rejected = list(tree.rejected)
    for folder in tree.folders:
        words = {name.lower() for name in folder.relative}
        labels = {label for name, label in LABEL_FOLDERS.items() if name in words}
        splits = {split for name, split in SPLIT_FOLDERS.items() if name in words}
        if reason := _why_rejected(labels, splits):
            rejected += [Rejected(folder.path / name, reason) for name in folder.names]
            continue
        split: Split = "train" if "train" in splits else "test"
        label = next(iter(labels)) if labels else NORMAL if split == "train" else None
        found = _clips(tree, folder, split, label)
        clips += found
        if splits:
            explicit |= {clip.path for clip in found}
    if not clips:
        return None
    assigned, notes = assign_train_split(clips, explicit)
    return Dataset(tree.root, None, sort_clips(assigned), tuple(rejected), tuple(notes))


def _why_rejected(labels: set[int], splits: set[Split]) -> str:
    if not labels and not splits:
        return "not in normal/, anomaly/, train/ or test/"
    if len(labels) > 1 or len(splits) > 1:
        return "its folders contradict each other"
    if "train" in splits and ANOMALY in labels:
        return "an anomalous recording in train/, and no such clip may be trained on"
    return ""


def _clips(tree: Tree, folder: Folder, split: Split, label: int | None) -> list[Clip]:
    names = [n for n in folder.relative if n.lower() not in {*LABEL_FOLDERS, *SPLIT_FOLDERS}]
    root_name = os.path.basename(os.path.abspath(tree.root)) or "machine"
    machine = names[0] if names else root_name
    section = "-".join(names[1:]) or UNDIVIDED
    return [
        Clip(
            path=folder.path / name,
            year=None,
            machine=machine,
            section=section,
            domain="",
            split=split,
            label=label,
            name="/".join((*folder.relative, name)),
        )
        for name in folder.names
    ]
