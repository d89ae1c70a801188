"""Open recordings in any known layout as one dataset."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import cast

from asd_monitor.errors import DatasetError
from asd_monitor.unicode_names import to_nfc
from asd_offline.datasets.clip import Clip, Dataset, Domain, sort_clips
from asd_offline.datasets.ground_truth import GroundTruth, read_ground_truth
from asd_offline.datasets.layouts import CHALLENGES
from asd_offline.datasets.layouts.csv_list import open_csv_list
from asd_offline.datasets.layouts.dcase import open_official
from asd_offline.datasets.layouts.labelled_folders import open_labelled_folders
from asd_offline.datasets.layouts.unlabelled_folder import open_unlabelled_folder
from asd_offline.datasets.parsed_name import UnrecognisedFileName
from asd_offline.datasets.scan import Tree, scan

CHALLENGE_LIKE = re.compile(
    r"section_?\d+_(?:source|target)_|(?:normal|anomaly)_id_?\d+_", re.IGNORECASE
)
"""Beginning of names that resemble those of the challenges."""


def open_dataset(
    root: Path,
    year: int | None = None,
    ground_truth: Path | None = None,
    machines: Iterable[str] | None = None,
) -> Dataset:
    """Find and describe the clips below a folder, without opening a sound file.

    Parameters
    ----------
    root
        Folder of a DCASE challenge in any common arrangement, of one machine, or of recordings
        sorted into ``normal`` and ``anomaly``; or a CSV of path and label. A folder of recordings
        in no known layout is normal sound of one machine.
    year
        Year of the challenge; detected if None.
    ground_truth
        The organisers' evaluator, for labels and domains of evaluation sets.
    machines
        Restrict the clips to these machines, ignoring case; None for all. A single name here is
        also the machine's name for recordings in no known layout.

    Raises
    ------
    DatasetError
        If nothing is found, the year cannot be detected or is not supported, a machine is missing,
        or the ground truth does not belong to the clips.
    """
    if year is not None and year not in CHALLENGES:
        supported = ", ".join(map(str, CHALLENGES))
        msg = f"{root}: DCASE {year} is not supported; supported are {supported}"
        raise DatasetError(msg)
    names = None if machines is None else tuple(map(to_nfc, machines))
    selected = None if names is None else frozenset(name.lower() for name in names)
    machine = names[0] if names and len(names) == 1 else None
    dataset = _open(root, year, selected, machine)
    if selected is not None:
        dataset = _restrict(dataset, selected)
    if ground_truth is None:
        return dataset
    if dataset.year is None:
        msg = f"{root}: ground truth was given, but only DCASE evaluation sets can use it"
        raise DatasetError(msg)
    return with_ground_truth(dataset, read_ground_truth(ground_truth, dataset.year))


def _open(
    root: Path, year: int | None, selected: frozenset[str] | None, machine: str | None
) -> Dataset:
    if root.is_file() and root.suffix.lower() == ".csv":
        return open_csv_list(root)
    tree = scan(root)
    dataset = open_official(tree, year, selected)
    if dataset is not None:
        if not dataset.clips and selected is None:
            first = dataset.rejected[0]
            msg = f"{root}: no valid clip was found, first {first.path}: {first.reason}"
            raise DatasetError(msg)
        return dataset
    if year is None:
        recordings = open_labelled_folders(tree) or open_unlabelled_folder(tree, machine)
        if recordings is not None:
            return _with_note_on_names(recordings)
    raise _nothing_found(tree, year)


def _with_note_on_names(dataset: Dataset) -> Dataset:
    """Add a note if names resemble those of a challenge but are not in its form."""
    misnamed = [clip for clip in dataset.clips if CHALLENGE_LIKE.match(clip.path.name)]
    if not misnamed:
        return dataset
    note = (
        f"{len(misnamed)} files, first {misnamed[0].name}, are named almost as in DCASE Task 2 but "
        "not in its form (section_00_source_train_normal_0000.wav or normal_id_00_00000000.wav, in "
        "<machine>/train or test): read as recordings of your own"
    )
    return replace(dataset, notes=(*dataset.notes, note))


def _nothing_found(tree: Tree, year: int | None) -> DatasetError:
    """Return the error for a folder without a single clip."""
    sounds = sum(len(folder.names) for folder in tree.folders)
    clips = f"clips of DCASE {year}" if year else "clips"
    if sounds:
        first = tree.folders[0].path / tree.folders[0].names[0]
        found = f"{sounds} sound files in no known arrangement, first {first}"
    elif tree.archives:
        found = f"{len(tree.archives)} archives, first {tree.archives[0].name}: unpack them"
    else:
        found = "no sound files"
    msg = (
        f"{tree.root}: expected {clips} as in <machine>/train and <machine>/test, recordings in "
        f"normal/ and anomaly/, or a CSV of path,label; found {found}"
    )
    return DatasetError(msg)


def _restrict(dataset: Dataset, selected: frozenset[str]) -> Dataset:
    present = {machine.lower(): machine for machine in dataset.machines()}
    missing = sorted(selected - set(present))
    if missing:
        # A challenge's clips were restricted while reading: open all for the names in the message.
        names = sorted(present.values()) or list(
            _open(dataset.root, dataset.year, None, None).machines()
        )
        spelling = {name.lower(): name for name in names}
        near = difflib.get_close_matches(missing[0], list(spelling), n=3)
        hint = f"; nearest: {', '.join(spelling[name] for name in near)}" if near else ""
        msg = (
            f"{dataset.root}: no clips of machine {', '.join(missing)}; "
            f"there are {', '.join(names) or 'none'}{hint}"
        )
        raise DatasetError(msg)
    return replace(
        dataset,
        clips=tuple(c for c in dataset.clips if c.machine.lower() in selected),
        supplemental=tuple(c for c in dataset.supplemental if c.machine.lower() in selected),
    )


def with_ground_truth(dataset: Dataset, truth: GroundTruth) -> Dataset:
    """Fill in labels, domains and attributes of test clips whose names do not show them.

    Raises
    ------
    DatasetError
        If an unlabelled clip is missing in the ground truth of its section.
    """
    labelled_names = {
        (machine, section): {official: alias for alias, official in known.aliases.items()}
        for machine, sections in truth.machines.items()
        for section, known in sections.items()
    }
    clips = [
        _with_label(clip, truth, labelled_names) if clip.label is None else clip
        for clip in dataset.clips
    ]
    unknown = Counter((c.machine, c.section) for c in clips if c.label is None)
    notes = [
        f"no ground truth for {count} test clips of {machine} {section}"
        for (machine, section), count in sorted(unknown.items())
    ]
    return replace(dataset, clips=sort_clips(clips), notes=(*dataset.notes, *notes))


def _with_label(
    clip: Clip, truth: GroundTruth, labelled_names: dict[tuple[str, str], dict[str, str]]
) -> Clip:
    section = truth.machines.get(clip.machine, {}).get(clip.section)
    if section is None:
        return clip
    known = section.clips.get(clip.name)
    if known is None:
        msg = (
            f"{clip.path}: {truth.path} has labels for {clip.machine} {clip.section}, "
            f"but none for {clip.name}; check that both are of {truth.year}"
        )
        raise DatasetError(msg)
    labelled_name = labelled_names[clip.machine, clip.section].get(clip.name, "")
    return replace(
        clip,
        label=known.label,
        domain=clip.domain or cast("Domain", known.domain),
        attributes=clip.attributes or _attributes(labelled_name, truth.year),
    )


def _attributes(labelled_name: str, year: int) -> tuple[tuple[str, str], ...]:
    """Return the attributes that a name in the ground truth shows."""
    try:
        return CHALLENGES[year].parse("test", labelled_name).attributes
    except UnrecognisedFileName:
        return ()
