"""Open whatever recordings a user has as one dataset."""

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from asd_monitor.errors import DatasetError
from asd_offline.datasets.clip import Clip, Dataset, Domain, in_order
from asd_offline.datasets.ground_truth import GroundTruth, read_ground_truth
from asd_offline.datasets.layouts import CHALLENGES
from asd_offline.datasets.layouts.csv_list import open_listing
from asd_offline.datasets.layouts.dcase import open_official
from asd_offline.datasets.layouts.labelled_folders import open_folder
from asd_offline.datasets.layouts.unlabelled_folder import open_plain
from asd_offline.datasets.parsed_name import UnrecognisedFileName
from asd_offline.datasets.scan import Tree, scan


def open_dataset(
    root: Path,
    year: int | None = None,
    ground_truth: Path | None = None,
    machines: Iterable[str] | None = None,
) -> Dataset:
    """Find the clips below a folder and say what each of them is; no sound file is opened.

    Parameters
    ----------
    root
        Folder of a DCASE year in any arrangement, of one machine, of recordings sorted into
        ``normal`` and ``anomaly``, or a CSV of path and label. A folder of recordings in no such
        arrangement is normal sound of one machine.
    year
        Year of the challenge; detected when None.
    ground_truth
        The organisers' evaluator, for labels and domains of evaluation sets.
    machines
        Restrict the clips to these machines, upper and lower case alike; None for all. Recordings
        in no known arrangement take their machine's name from here, if it is one.

    Raises
    ------
    DatasetError
        If there is nothing to open, the year cannot be told or is not supported, a machine is not
        there, or the ground truth does not belong to the clips.
    """
    if year is not None and year not in CHALLENGES:
        supported = ", ".join(map(str, CHALLENGES))
        msg = f"{root}: DCASE {year} is not supported; supported are {supported}"
        raise DatasetError(msg)
    names = None if machines is None else tuple(machines)
    wanted = None if names is None else frozenset(name.lower() for name in names)
    only = names[0] if names and len(names) == 1 else None
    dataset = _open(root, year, wanted, only)
    if wanted is not None:
        dataset = _restrict(dataset, wanted, root)
    if ground_truth is None:
        return dataset
    if dataset.year is None:
        msg = f"{root}: ground truth was given, but only DCASE evaluation sets can use it"
        raise DatasetError(msg)
    return with_ground_truth(dataset, read_ground_truth(ground_truth, dataset.year))


def _open(
    root: Path, year: int | None, wanted: frozenset[str] | None, only: str | None = None
) -> Dataset:
    if root.is_file() and root.suffix.lower() == ".csv":
        return open_listing(root)
    tree = scan(root)
    dataset = open_official(tree, year, wanted)
    if dataset is not None:
        if not dataset.clips and wanted is None:
            first = dataset.rejected[0]
            msg = f"{root}: not one clip could be read as one, first {first.path}: {first.reason}"
            raise DatasetError(msg)
        return dataset
    if year is None and (by_hand := open_folder(tree)) is not None:
        return by_hand
    if year is None and (unsorted := open_plain(tree, only)) is not None:
        return unsorted
    raise _nothing(tree, year)


def _nothing(tree: Tree, year: int | None) -> DatasetError:
    """Say what is missing in a folder without a single clip."""
    sounds = sum(len(folder.names) for folder in tree.folders)
    asked = f"clips of DCASE {year}" if year else "clips"
    if sounds:
        first = tree.folders[0].path / tree.folders[0].names[0]
        found = f"{sounds} sound files in no known arrangement, first {first}"
    elif tree.archives:
        found = f"{len(tree.archives)} archives, first {tree.archives[0].name}: unpack them"
    else:
        found = "no sound files"
    msg = (
        f"{tree.root}: expected {asked} as in <machine>/train and <machine>/test, recordings in "
        f"normal/ and anomaly/, or a CSV of path,label; found {found}"
    )
    return DatasetError(msg)


def _restrict(dataset: Dataset, wanted: frozenset[str], root: Path) -> Dataset:
    there = {machine.lower(): machine for machine in dataset.machines()}
    missing = sorted(wanted - set(there))
    if missing:
        names = sorted(there.values()) or sorted(_everything(root, dataset.year))
        near = difflib.get_close_matches(missing[0], [name.lower() for name in names], n=3)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        msg = (
            f"{root}: no clips of machine {', '.join(missing)}; "
            f"there are {', '.join(names) or 'none'}{hint}"
        )
        raise DatasetError(msg)
    return replace(dataset, clips=tuple(c for c in dataset.clips if c.machine.lower() in wanted))


def _everything(root: Path, year: int | None) -> Sequence[str]:
    return _open(root, year, None).machines()


def with_ground_truth(dataset: Dataset, truth: GroundTruth) -> Dataset:
    """Fill in labels, domains and original names of test clips that do not tell them.

    Raises
    ------
    DatasetError
        If a clip without a label is not in the ground truth of its section, or if a label in a
        name contradicts it.
    """
    originals = {
        (machine, section): {official: other for other, official in known.aliases.items()}
        for machine, sections in truth.machines.items()
        for section, known in sections.items()
    }
    clips = [
        clip if clip.label is not None else _tell(clip, truth, originals) for clip in dataset.clips
    ]
    unknown = Counter((c.machine, c.section) for c in clips if c.label is None)
    notes = [
        f"no ground truth for {count} test clips of {machine} {section}"
        for (machine, section), count in sorted(unknown.items())
    ]
    return replace(dataset, clips=in_order(clips), notes=(*dataset.notes, *notes))


def _tell(clip: Clip, truth: GroundTruth, originals: dict[tuple[str, str], dict[str, str]]) -> Clip:
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
    original = originals[clip.machine, clip.section].get(clip.name, "")
    return replace(
        clip,
        label=known.label,
        domain=clip.domain or cast("Domain", known.domain),
        original_name=original,
        attributes=clip.attributes or _attributes(original, truth.year),
    )


def _attributes(original: str, year: int) -> tuple[tuple[str, str], ...]:
    """Attributes that the name in the ground truth shows."""
    try:
        return CHALLENGES[year].parse("test", original).attributes
    except UnrecognisedFileName:
        return ()
