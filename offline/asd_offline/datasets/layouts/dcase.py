"""Read the clips of a DCASE challenge, in any of the arrangements that people keep them in."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from asd_monitor.errors import DatasetError
from asd_offline.datasets.attributes import Attributes, read_attribute_lists
from asd_offline.datasets.challenge import Challenge, UnrecognisedFileName
from asd_offline.datasets.clip import Clip, Dataset, Rejected, Subset, in_order
from asd_offline.datasets.layout_detection import (
    SplitFolder,
    collect_evidence,
    detect,
    split_folders,
    unrecognised_files,
)
from asd_offline.datasets.registry import CHALLENGES
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
        If the year cannot be told, or a clip is there twice.
    """
    found = split_folders(tree)
    facts = collect_evidence(found, tree.attribute_lists)
    if not facts:
        return None
    number, note = detect(tree.root, facts, year)
    layout = CHALLENGES[number]
    lists = tree.attribute_lists if layout.has_attribute_lists else []
    attributes, rejected = read_attribute_lists(lists)
    wanted = [each for each in found if machines is None or each.machine.lower() in machines]
    clips, misfits = _read(wanted, layout, attributes)
    _refuse_doubles(clips)
    return Dataset(
        root=tree.root,
        year=number,
        clips=in_order(clips),
        rejected=(*tree.rejected, *rejected, *misfits, *unrecognised_files(tree, found)),
        notes=(note,) if note else (),
    )


def _read(
    found: Sequence[SplitFolder],
    layout: Challenge,
    attributes: Mapping[tuple[Path, str], Attributes],
) -> tuple[list[Clip], list[Rejected]]:
    clips, rejected = [], []
    subsets: dict[tuple[str, str], Subset] = {}
    for each in found:
        for name in each.folder.names:
            path = each.folder.path / name
            try:
                named = layout.parse(each.split, name)
            except UnrecognisedFileName as error:
                rejected.append(Rejected(path, str(error)))
                continue
            key = each.machine, named.section
            if key not in subsets:
                subsets[key] = layout.subset(*key)
            clip = Clip(
                path=path,
                year=layout.year,
                machine=each.machine,
                section=named.section,
                domain=named.domain,
                split=named.split,
                label=named.label,
                attributes=attributes.get((each.parent, name), named.attributes),
                name=name,
                subset=subsets[key],
            )
            clips.append(clip)
    return clips, rejected


def _refuse_doubles(clips: Iterable[Clip]) -> None:
    """Raise DatasetError for two files of one machine, split and name: it would count double."""
    seen: dict[tuple[str, str, str], Clip] = {}
    for clip in clips:
        key = clip.machine, clip.split, clip.name
        if key in seen:
            msg = (
                f"{clip.path}: {clip.machine} has this clip twice, the other is {seen[key].path}; "
                "two copies or two years lie side by side: open one of them"
            )
            raise DatasetError(msg)
        seen[key] = clip
