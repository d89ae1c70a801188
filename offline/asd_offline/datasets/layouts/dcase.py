"""Read the clips of a DCASE challenge from any common arrangement of its folders."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from asd_monitor.errors import DatasetError
from asd_offline.datasets.attributes import Attributes, read_attribute_lists
from asd_offline.datasets.challenge import Challenge
from asd_offline.datasets.clip import Clip, Dataset, Rejected, Subset, sort_clips
from asd_offline.datasets.layout_detection import (
    SplitFolder,
    collect_evidence,
    detect_year,
    refuse_supplemental,
    split_folders,
    unrecognised_files,
)
from asd_offline.datasets.layouts import CHALLENGES
from asd_offline.datasets.parsed_name import UnrecognisedFileName
from asd_offline.datasets.scan import Tree


def open_official(tree: Tree, year: int | None, machines: frozenset[str] | None) -> Dataset | None:
    """Read a scanned folder as a challenge's data; None if it has no official names at all.

    Parameters
    ----------
    machines
        Names in lower case to restrict the clips to; None for all.

    Raises
    ------
    DatasetError
        If the year cannot be detected, or there are two files of one clip.
    """
    folders = split_folders(tree)
    evidence = collect_evidence(folders, tree.attribute_lists)
    if not evidence:
        return None
    refuse_supplemental(tree, evidence)
    detected, note = detect_year(tree.root, evidence, year)
    challenge = CHALLENGES[detected]
    lists = tree.attribute_lists if challenge.attribute_lists else []
    attributes, unreadable_lists = read_attribute_lists(lists)
    selected = [
        folder for folder in folders if machines is None or folder.machine.lower() in machines
    ]
    clips, misnamed = _read_clips(selected, challenge, attributes)
    _refuse_duplicates(clips)
    stray = unrecognised_files(tree, folders)
    return Dataset(
        root=tree.root,
        year=detected,
        clips=sort_clips(clips),
        rejected=(*tree.rejected, *unreadable_lists, *misnamed, *stray),
        notes=(note,) if note else (),
    )


def _read_clips(
    folders: Sequence[SplitFolder],
    challenge: Challenge,
    attributes: Mapping[tuple[Path, str], Attributes],
) -> tuple[list[Clip], list[Rejected]]:
    clips, rejected = [], []
    subsets: dict[tuple[str, str], Subset] = {}
    for folder in folders:
        for name in folder.folder.names:
            path = folder.folder.path / name
            try:
                parsed = challenge.parse(folder.split, name)
            except UnrecognisedFileName as error:
                rejected.append(Rejected(path, str(error)))
                continue
            key = folder.machine, parsed.section
            if key not in subsets:
                subsets[key] = challenge.subset(*key)
            clip = Clip(
                path=path,
                year=challenge.year,
                machine=folder.machine,
                section=parsed.section,
                domain=parsed.domain,
                split=parsed.split,
                label=parsed.label,
                attributes=attributes.get((folder.parent, name), parsed.attributes),
                name=name,
                subset=subsets[key],
            )
            clips.append(clip)
    return clips, rejected


def _refuse_duplicates(clips: Iterable[Clip]) -> None:
    """Raise DatasetError for two files of one machine, split and name: they would count twice."""
    seen: dict[tuple[str, str, str], Clip] = {}
    for clip in clips:
        key = clip.machine, clip.split, clip.name
        if key in seen:
            msg = (
                f"{clip.path}: {clip.machine} has this clip twice, the other is {seen[key].path}; "
                "the folder holds two copies or two years: open one of them"
            )
            raise DatasetError(msg)
        seen[key] = clip
