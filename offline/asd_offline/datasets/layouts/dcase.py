"""Read the clips of a DCASE challenge from any common arrangement of its folders."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from asd_monitor.errors import DatasetError
from asd_offline.datasets.attributes import Attributes, read_attribute_lists
from asd_offline.datasets.challenge import Challenge
from asd_offline.datasets.clip import (
    Clip,
    Dataset,
    Rejected,
    Subset,
    SupplementalClip,
    sort_clips,
)
from asd_offline.datasets.layout_detection import (
    SplitFolder,
    collect_evidence,
    renamed_folders,
    split_folders,
    supplemental_folders,
    unrecognised_files,
)
from asd_offline.datasets.layouts import CHALLENGES
from asd_offline.datasets.layouts.supplemental_names import parse_supplemental_name
from asd_offline.datasets.parsed_name import UnrecognisedFileName
from asd_offline.datasets.scan import Tree
from asd_offline.datasets.year_detection import detect_year


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
    evidence = collect_evidence(folders, tree)
    if not evidence:
        return None
    detected, note = detect_year(tree.root, evidence, year)
    challenge = CHALLENGES[detected]
    lists = tree.attribute_lists if challenge.attribute_lists else []
    attributes, unreadable_lists = read_attribute_lists(lists)
    extra = supplemental_folders(tree, {machine.parent for machine in evidence})
    clips, misnamed = _read_clips(_of_machines(folders, machines), challenge, attributes)
    supplemental, misplaced = _read_supplemental(_of_machines(extra, machines), challenge)
    _refuse_duplicates(clips)
    stray = unrecognised_files(tree, [*folders, *extra])
    notes = [note] if note else []
    if renamed_folders(tree):
        notes.append("not read: test_rename/, which has the clips of test/ under other names")
    return Dataset(
        root=tree.root,
        year=detected,
        clips=sort_clips(clips),
        rejected=(*tree.rejected, *unreadable_lists, *misnamed, *misplaced, *stray),
        notes=tuple(notes),
        supplemental=tuple(
            sorted(supplemental, key=lambda clip: (clip.machine, clip.section, clip.name))
        ),
    )


def _of_machines(
    folders: Iterable[SplitFolder], machines: frozenset[str] | None
) -> list[SplitFolder]:
    return [folder for folder in folders if machines is None or folder.machine.lower() in machines]


def _read_supplemental(
    folders: Iterable[SplitFolder], challenge: Challenge
) -> tuple[list[SupplementalClip], list[Rejected]]:
    """Read clips that are neither for training nor for test; other challenges have none."""
    clips, rejected = [], []
    for folder in folders:
        for name in folder.folder.names:
            path = folder.folder.path / name
            if folder.split != challenge.supplemental:
                reason = f"DCASE {challenge.year} has no supplemental data"
                rejected.append(Rejected(path, reason))
                continue
            try:
                parsed = parse_supplemental_name(name, challenge)
            except UnrecognisedFileName as error:
                rejected.append(Rejected(path, str(error)))
                continue
            clip = SupplementalClip(
                path=path,
                machine=folder.machine,
                section=parsed.section,
                content=parsed.content,
                domain=parsed.domain,
                attributes=parsed.attributes,
                name=name,
                subset=challenge.subset(folder.machine, parsed.section),
            )
            clips.append(clip)
    return clips, rejected


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
