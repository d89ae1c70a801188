"""Recordings sorted into folders by hand: ``normal``, ``anomaly``, perhaps ``train``, ``test``.

``normal/``, ``anomaly/`` (or ``abnormal/``), ``train/`` and ``test/`` may lie in any order and
depth. Sounds in ``train/`` are normal where no folder says otherwise, those in ``test/`` unknown.
Folders of any other name are a machine, and below it a section: ``pump/id_00/normal/a.wav``.
"""

import os
from pathlib import Path

from asd_offline.datasets.clip import ANOMALY, NORMAL, Clip, Dataset, Rejected, Split, in_order
from asd_offline.datasets.scan import Folder, Tree
from asd_offline.datasets.train_split import assign_train_split

LABEL_FOLDERS = {"normal": NORMAL, "anomaly": ANOMALY, "abnormal": ANOMALY}
SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train",
    "test": "test",
    "source_test": "test",
    "target_test": "test",
}
WHOLE = "all"


def open_folder(tree: Tree) -> Dataset | None:
    """Read a scanned folder by its folder names; None if they say neither label nor split."""
    clips: list[Clip] = []
    told: set[Path] = set()
    rejected = list(tree.rejected)
    for folder in tree.folders:
        labels = {LABEL_FOLDERS[w] for p in folder.relative if (w := p.lower()) in LABEL_FOLDERS}
        splits = {SPLIT_FOLDERS[w] for p in folder.relative if (w := p.lower()) in SPLIT_FOLDERS}
        if reason := _refusal(labels, splits):
            rejected += [Rejected(folder.path / name, reason) for name in folder.names]
            continue
        split: Split = "train" if "train" in splits else "test"
        label = next(iter(labels)) if labels else NORMAL if split == "train" else None
        found = _clips(tree, folder, split, label)
        clips += found
        told |= {clip.path for clip in found if splits}
    if not clips:
        return None
    shared, notes = assign_train_split(clips, told)
    return Dataset(tree.root, None, in_order(shared), tuple(rejected), tuple(notes))


def _refusal(labels: set[int], splits: set[Split]) -> str:
    if not labels and not splits:
        return "not in normal/, anomaly/, train/ or test/"
    if len(labels) > 1 or len(splits) > 1:
        return "its folders contradict each other"
    if "train" in splits and ANOMALY in labels:
        return "an anomalous recording in train/, and no such clip may be trained on"
    return ""


def _clips(tree: Tree, folder: Folder, split: Split, label: int | None) -> list[Clip]:
    own = [p for p in folder.relative if p.lower() not in {*LABEL_FOLDERS, *SPLIT_FOLDERS}]
    root_name = os.path.basename(os.path.abspath(tree.root)) or "machine"
    machine = own[0] if own else root_name
    section = "-".join(own[1:]) or WHOLE
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
