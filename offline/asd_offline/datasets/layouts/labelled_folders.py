"""Recordings in folders called ``normal`` and ``anomaly``, perhaps within ``train`` and ``test``.

Folders of labels (``normal``, ``anomaly`` and the synonyms in
`asd_monitor.audio.label_words`), ``train/`` and ``test/`` may be nested in any order and depth.
Sounds in ``train/`` are normal; the label of those in ``test/`` without a folder of a label is that
of their file name, or unknown. Folders of any other name are a machine, and below it a section:
``pump/id_00/normal/a.wav``. Names that could mean either are refused.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asd_monitor.audio.label_words import (
    FolderName,
    FolderSplit,
    as_split,
    find_labels,
    parse_folder,
)
from asd_monitor.errors import DatasetError
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

LIST_HINT = (
    "rename them, sort the recordings into normal/ and anomaly/, or give a CSV list with a row "
    "path,label for each recording (and columns split and machine if needed) instead of the folder"
)
"""How to say what recordings are, whatever they are called."""
NOISE_REASON = "background noise, not the sound of a machine"
_MAX_LISTED = 5


@dataclass(frozen=True, slots=True)
class _Place:
    """What the folders above a recording say about it."""

    folders: tuple[FolderName, ...]
    labels: frozenset[int]
    """Labels of folders that are called after nothing else."""
    splits: frozenset[FolderSplit]

    @property
    def is_noise(self) -> bool:
        return any(folder.is_noise for folder in self.folders)

    @property
    def split(self) -> Split | None:
        """Split that the folders name; None if they name none."""
        return as_split(next(iter(self.splits), None))

    @property
    def is_ambiguous(self) -> bool:
        """Whether a folder may be a machine as well as a label, and no other settles it."""
        last = max((i for i, folder in enumerate(self.folders) if not folder.is_name), default=-1)
        for index, folder in enumerate(self.folders):
            if not folder.is_name or not folder.labels:
                continue
            if self.labels and (index < last or folder.labels <= self.labels):
                continue
            if ANOMALY in folder.labels or (self.split == "test" and not self.labels):
                return True
        return False


def open_labelled_folders(tree: Tree) -> Dataset | None:
    """Read a scanned folder by its folder names; None if they show neither label nor split.

    Raises
    ------
    DatasetError
        If a name says that a training recording is anomalous, or may say so.
    """
    places = [(folder, _place(folder)) for folder in tree.folders]
    if not any(place.labels or place.splits for _, place in places):
        return None
    has_normals = any(place.splits or NORMAL in place.labels for _, place in places)
    if not has_normals and any(not place.labels and not place.is_noise for _, place in places):
        return None  # only the anomalies are sorted, and nothing says what the others are
    clips: list[Clip] = []
    explicit: set[Path] = set()
    rejected = list(tree.rejected)
    unused = named = 0
    _refuse_anomalies_among_normals(tree, places)
    for folder, place in places:
        if reason := _why_rejected(place):
            rejected += [Rejected(folder.path / name, reason) for name in folder.names]
            continue
        if "validation" in place.splits:
            unused += len(folder.names)
            continue
        found = _clips(tree, folder, place)
        clips += found
        if not place.labels and place.split == "test":
            named += sum(clip.label is not None for clip in found)
        if place.splits:
            explicit |= {clip.path for clip in found}
    if not clips:
        return None
    assigned, notes = assign_train_split(clips, explicit)
    if unused:
        notes.append(f"not used: {unused} recordings of the validation split")
    if named:
        notes.append(f"the labels of {named} test recordings are those in their file names")
    return Dataset(tree.root, None, sort_clips(assigned), tuple(rejected), tuple(notes))


def _place(folder: Folder) -> _Place:
    folders = tuple(parse_folder(name) for name in folder.relative)
    certain = [each for each in folders if not each.is_name]
    return _Place(
        folders,
        frozenset(label for each in certain for label in each.labels),
        frozenset(each.split for each in certain if each.split),
    )


def _why_rejected(place: _Place) -> str:
    if place.is_noise:
        return NOISE_REASON
    if not place.labels and not place.splits:
        return "not in normal/, anomaly/, train/ or test/"
    if len(place.labels) > 1 or len(place.splits) > 1:
        return "its folders contradict each other"
    return ""


def _refuse_anomalies_among_normals(tree: Tree, places: Sequence[tuple[Folder, _Place]]) -> None:
    """Raise DatasetError for recordings whose use depends on how one reads their names."""
    anomalous, ambiguous = [], []
    for folder, place in places:
        is_used = bool(place.labels or place.splits) and "validation" not in place.splits
        if place.is_noise or not is_used:
            continue
        in_training = "train" in place.splits
        if in_training and ANOMALY in place.labels:
            anomalous += [folder.path / name for name in folder.names]
        elif place.is_ambiguous:
            ambiguous.append(folder.path)
        elif in_training or place.labels == {NORMAL}:
            anomalous += [folder.path / n for n in folder.names if ANOMALY in find_labels(_stem(n))]
    if anomalous:
        msg = (
            f"{tree.root}: expected only normal sound in train/ and normal/, found names of "
            f"anomalies: {_listed(tree.root, anomalous)}; {LIST_HINT}"
        )
        raise DatasetError(msg)
    if ambiguous:
        msg = (
            f"{tree.root}: expected folders called normal/, anomaly/, train/ or test/, or after a "
            f"machine, found some that may be either: {_listed(tree.root, ambiguous)}; {LIST_HINT}"
        )
        raise DatasetError(msg)


def _listed(root: Path, paths: Sequence[Path]) -> str:
    names = ", ".join(str(path.relative_to(root)) for path in paths[:_MAX_LISTED])
    return names + (f" and {len(paths) - _MAX_LISTED} more" if len(paths) > _MAX_LISTED else "")


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]


def _clips(tree: Tree, folder: Folder, place: _Place) -> list[Clip]:
    names = [
        name
        for name, meaning in zip(folder.relative, place.folders, strict=True)
        if meaning.is_name
    ]
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
            split=place.split or "test",
            label=_label(place, name),
            name="/".join((*folder.relative, name)),
        )
        for name in folder.names
    ]


def _label(place: _Place, name: str) -> int | None:
    """Return the label that folders give, else normal in train/, else that of the file name."""
    if place.labels:
        return next(iter(place.labels))
    if place.split == "train":
        return NORMAL
    labels = find_labels(_stem(name))
    return next(iter(labels)) if len(labels) == 1 else None
