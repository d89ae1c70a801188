"""File names and label files of a challenge, as its archives contain them.

Development clips go to ``dev_data/<machine>/``, evaluation clips to ``eval_data/<machine>/``,
their labels to ``ground_truth/`` in the form of the organisers' evaluators.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from asd_offline.datasets.challenge import Challenge
from asd_offline.datasets.layouts.attribute_words import HIDDEN
from asd_offline.synth.attributes import Attributes

SPEED_IN_LISTS = {"spd": "speed"}
"""Keys that the attribute lists spell differently from the file names."""
TOYS_PREFIX = "Toy"


@dataclass(frozen=True, slots=True)
class NamedClip:
    """A clip with its official file name."""

    machine: str
    section: int
    domain: str
    label: int
    attributes: Attributes
    name: str
    original: str
    """In an evaluation set: the name that shows label, domain and attributes; else empty."""
    split: str
    subset: str
    hides_attributes: bool = False
    """Whether its official name and the attribute list lack the attributes."""


def section_name(challenge: Challenge, section: int) -> str:
    """Return the name of a section, such as ``id_00`` or ``section_00``."""
    return f"{challenge.section_word}_{section:02d}"


def labelled_file_name(
    challenge: Challenge,
    section: int,
    domain: str,
    split: str,
    label: int,
    index: int,
    attributes: str,
) -> str:
    """Return the name of a training or development clip, which shows what it is."""
    template = challenge.train_name if split == "train" else challenge.test_name
    return template.format(
        section=section_name(challenge, section),
        domain=domain,
        label="anomaly" if label else "normal",
        index=index,
        tail=f"_{attributes}" if attributes else "",
    )


def supplemental_file_name(
    challenge: Challenge, machine: str, section: int, content: str, index: int, attributes: str
) -> str:
    """Return the name of a supplemental clip of the machine without noise, or of noise."""
    tail = HIDDEN if machine in challenge.hidden_attributes else attributes
    shown = f"_{tail}" if tail and content == "machine" else ""
    return f"{section_name(challenge, section)}_{content}_source_{index:04d}{shown}.wav"


def anonymous_file_name(challenge: Challenge, section: int, domain: str, index: int) -> str:
    """Return the name of a test clip of an evaluation set, which does not show its label."""
    return challenge.anonymous_name.format(
        section=section_name(challenge, section), domain=domain, index=index
    )


def clip_folder(challenge: Challenge, subset: str, machine: str, domain: str, split: str) -> str:
    """Return the folder of a clip relative to the dataset's root."""
    if challenge.domain_folders and split == "test":
        split = f"{domain}_test"
    return f"{subset}_data/{machine}/{split}"


def label_files(challenge: Challenge, clips: Sequence[NamedClip]) -> dict[str, str]:
    """Return path -> content of every list that belongs to a challenge's clips."""
    files: dict[str, str] = {}
    if challenge.attribute_lists:
        files |= _attribute_lists(clips)
    anonymous = [clip for clip in clips if clip.original]
    if not anonymous:
        return files
    if challenge.label_lists:
        return files | {f"ground_truth/{challenge.label_lists[0]}": _label_list(anonymous)}
    return files | _ground_truth(challenge, anonymous)


def _label_list(clips: Iterable[NamedClip]) -> str:
    lines: dict[str, list[str]] = defaultdict(list)
    for clip in clips:
        lines[clip.machine].append(f"{clip.name},{clip.original},{clip.label}")
    return "".join(
        f"{machine}\n" + "".join(f"{line}\n" for line in sorted(rows))
        for machine, rows in lines.items()
    )


def _ground_truth(challenge: Challenge, clips: Iterable[NamedClip]) -> dict[str, str]:
    rows: dict[str, list[str]] = defaultdict(list)
    groups: dict[tuple[str, int], list[NamedClip]] = defaultdict(list)
    for clip in clips:
        stem = f"ground_truth_{clip.machine}_section_{clip.section:02d}"
        stem += f"_{clip.domain}_test.csv" if challenge.domain_folders else "_test.csv"
        rows[f"ground_truth/ground_truth_data/{stem}"].append(f"{clip.name},{clip.label}")
        if challenge.domain_folders:
            continue
        domain = int(clip.domain == "target")
        rows[f"ground_truth/ground_truth_domain/{stem}"].append(f"{clip.name},{domain}")
        groups[clip.machine, clip.section].append(clip)
        if challenge.ground_truth_attributes == "names":
            names = ",".join(_names_in_truth(challenge, clip))
            rows[f"ground_truth/ground_truth_attributes/{stem}"].append(f"{clip.name},{names}")
    ends = {
        f"ground_truth/ground_truth_attributes/ground_truth_{machine}_section_{section:02d}"
        "_test.csv": "\r\n"
        for machine, section in groups
        if machine in challenge.full_name_column
    }
    files = {
        path: "".join(f"{row}{ends.get(path, chr(10))}" for row in sorted(lines))
        for path, lines in rows.items()
    }
    if challenge.ground_truth_attributes == "table":
        for (machine, section), group in groups.items():
            path = f"ground_truth/ground_truth_attributes/{machine}/attributes_{section:02d}.csv"
            last = "attributes" if machine.startswith(TOYS_PREFIX) else "full_attributes"
            files[path] = _attribute_table(group, f"file_name_with_{last}")
    return files


def _names_in_truth(challenge: Challenge, clip: NamedClip) -> list[str]:
    """Return the names of a clip with attributes, in the year's and the machine's form."""
    original = PurePosixPath(clip.original).stem
    if clip.machine in challenge.names_without_split:
        return [original.replace("_test_", "_", 1)]
    if clip.machine not in challenge.full_name_column:
        return [original]
    return [original.removesuffix(clip.attributes.text) + HIDDEN, clip.original]


def _attribute_lists(clips: Iterable[NamedClip]) -> dict[str, str]:
    """Return ``attributes_<SS>.csv`` of each section, without the clips of anonymous names."""
    groups: dict[str, list[NamedClip]] = defaultdict(list)
    for clip in clips:
        if not clip.original:
            path = f"{clip.subset}_data/{clip.machine}/attributes_{clip.section:02d}.csv"
            groups[path].append(clip)
    return {path: _attribute_table(group, "") for path, group in groups.items()}


def _attribute_table(clips: Sequence[NamedClip], original_column: str) -> str:
    width = max(len(_listed_pairs(clip)) for clip in clips)
    header = ["file_name"]
    for number in range(1, width + 1):
        header += [f"d{number}p", f"d{number}v"]
    lines = [",".join(header + [original_column] * bool(original_column))]
    for clip in sorted(clips, key=lambda clip: (clip.split, clip.name)):
        cells = [f"{clip.machine}/{clip.split}/{clip.name}"]
        for key, value in _listed_pairs(clip):
            cells += [SPEED_IN_LISTS.get(key, key), value]
        if original_column:
            cells += [""] * (len(header) - len(cells))
            cells.append(f"{clip.machine}/{clip.split}/{clip.original}")
        lines.append(",".join(cells))
    return "".join(f"{line}\n" for line in lines)


def _listed_pairs(clip: NamedClip) -> tuple[tuple[str, str], ...]:
    return () if clip.hides_attributes else clip.attributes.pairs
