"""What a replay has to do: which sections there are, which model scores each, and the jobs."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asd_monitor import __version__
from asd_monitor.errors import ConfigError, DatasetError
from asd_monitor.model_file.manifest import Manifest
from asd_offline.datasets import Clip, Dataset, Subset
from asd_offline.replay.jobs import FitJob, ScoreJob

QUICKSTART = "quickstart"
RESULT_FORMAT = 2
"""Raised whenever the files that jobs write change."""
BLOCK_CLIPS = 32
"""A block takes a second or less: all that a stopped replay has to do again."""


@dataclass(frozen=True, slots=True)
class GivenModel:
    """A model file that scores every section that it has a target for."""

    path: Path
    manifest: Manifest
    sha256: str


@dataclass(frozen=True, slots=True)
class SectionPlan:
    """One section (2020: machine id) with its clips, and what scores them."""

    number: int
    machine: str
    section: str
    train: tuple[Clip, ...]
    test: tuple[Clip, ...]
    target: str
    reason: str | None = None
    """Why it cannot be scored; None if it can, as far as is known."""

    @property
    def name(self) -> str:
        """Machine and section, for people."""
        return f"{self.machine} {self.section}"


@dataclass(frozen=True)
class Plan:
    """All that is to be done."""

    dataset: Dataset
    sections: tuple[SectionPlan, ...]
    given: GivenModel | None
    """None: the quick-start detector is fitted for each section."""
    channel: int
    device: str
    work: Path

    def model_path(self, section: SectionPlan) -> Path:
        """Return the model file that scores a section."""
        return self.given.path if self.given else self.work / f"model-{section.number:04d}.asd"

    def fit_jobs(self) -> list[FitJob]:
        """Return the jobs that fit a detector each; none with a given model."""
        if self.given:
            return []
        return [
            FitJob(
                target=section.target,
                clips=tuple(clip.path for clip in section.train),
                channel=self.channel,
                model=self.model_path(section),
                result=self.work / f"fit-{section.number:04d}.json",
            )
            for section in self.sections
            if section.reason is None
        ]

    def score_jobs(self, section: SectionPlan) -> list[ScoreJob]:
        """Return the jobs that score a section's test clips, in their order."""
        if section.reason is not None:
            return []
        return [
            ScoreJob(
                clips=tuple(clip.path for clip in block),
                target=section.target,
                channel=self.channel,
                device=self.device,
                model=self.model_path(section),
                result=self.work / f"scores-{section.number:04d}-{number:05d}.jsonl",
            )
            for number, block in enumerate(_blocks(section.test))
        ]


def make_plan(
    dataset: Dataset, given: GivenModel | None, *, channel: int, device: str, work: Path
) -> Plan:
    """Plan a replay; the folder of its work is named after everything that shapes the scores.

    Parameters
    ----------
    dataset
        What is replayed.
    given
        The model file, or None for the quick-start detector.
    channel
        Which channel of the recordings, from 0.
    device
        Where the model runs: auto, cpu or cuda.
    work
        Folder for the results of jobs; a folder is made in it.
    """
    names = [(m, s) for m in dataset.machines() for s in dataset.sections(m)]
    clips: dict[tuple[str, str], list[Clip]] = {name: [] for name in names}
    for clip in dataset.clips:
        clips[clip.machine, clip.section].append(clip)
    sections = tuple(
        _section(number, name, clips[name], given, only=len(names) == 1)
        for number, name in enumerate(names)
    )
    key = _key(dataset.clips, given, channel, device)
    folder = work / key
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{folder}: cannot be made to work in: {error.strerror or error}; choose --out"
        raise DatasetError(msg) from error
    return Plan(dataset, sections, given, channel, device, folder)


def restrict(dataset: Dataset, subset: Subset) -> Dataset:
    """Keep the clips of one set of the challenge.

    Raises
    ------
    DatasetError
        If there are none.
    """
    clips = tuple(clip for clip in dataset.clips if clip.subset == subset)
    if not clips:
        found = ", ".join(each for each in dataset.sets if each) or "no clips of either set"
        raise DatasetError(f"{dataset.root}: no clips of the {subset} set; found {found}")
    return replace(dataset, clips=clips)


def _section(
    number: int, name: tuple[str, str], clips: Sequence[Clip], given: GivenModel | None, only: bool
) -> SectionPlan:
    machine, section = name
    train = tuple(clip for clip in clips if clip.split == "train")
    test = tuple(clip for clip in clips if clip.split == "test")
    target, reason = f"{machine}/{section}", None
    if given is None:
        if not train:
            reason = "no training clips, so there is nothing to fit a detector to"
    else:
        target, reason = _given_target(given.manifest.targets, machine, section, only)
    if not test:
        reason = "no test clips"
    return SectionPlan(number, machine, section, train, test, target, reason)


def _given_target(
    targets: Sequence[str], machine: str, section: str, only: bool
) -> tuple[str, str | None]:
    for target in (f"{machine}/{section}", machine):
        if target in targets:
            return target, None
    if only and len(targets) == 1:
        return targets[0], None
    known = ", ".join(targets[:5]) + (f" and {len(targets) - 5} more" if len(targets) > 5 else "")
    return "", f"the model has no target {machine}/{section} and none {machine}; it has: {known}"


def _blocks(clips: Sequence[Clip]) -> Iterator[Sequence[Clip]]:
    for first in range(0, len(clips), BLOCK_CLIPS):
        yield clips[first : first + BLOCK_CLIPS]


def _key(clips: Sequence[Clip], given: GivenModel | None, channel: int, device: str) -> str:
    from importlib.metadata import version

    digest = hashlib.sha256()
    model = given.sha256 if given else QUICKSTART
    facts = [RESULT_FORMAT, __version__, version("torch"), model, channel, device]
    digest.update(json.dumps(facts).encode())
    for clip in clips:
        try:
            stat = clip.path.stat()
        except OSError:  # rejected with its reason when it is read
            seen = [0, 0]
        else:
            seen = [stat.st_size, stat.st_mtime_ns]
        row = [str(clip.path.absolute()), clip.machine, clip.section, clip.split, *seen]
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()[:24]


def given_model(text: str) -> GivenModel | None:
    """Return the model file that ``--model`` names; None for the quick-start detector.

    Raises
    ------
    ConfigError
        If it names a folder.
    ModelFileError
        If there is no such file, or it is damaged.
    """
    from asd_monitor.model_file import read_manifest

    if text == QUICKSTART:
        return None
    path = Path(text)
    if path.is_dir():
        msg = f"--model {path}: expected a model file, the folder of a training run, or "
        raise ConfigError(f"{msg}{QUICKSTART}, found a folder without run.json")
    manifest, sha256 = read_manifest(path)
    return GivenModel(path.absolute(), manifest, sha256)
