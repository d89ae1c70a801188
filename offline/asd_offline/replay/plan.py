"""Plan of a replay: the sections, the model that scores each, and the jobs."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from asd_monitor import __version__
from asd_monitor.errors import ConfigError, DatasetError
from asd_monitor.model_file import LoadPolicy, verify
from asd_monitor.model_file.manifest import Manifest
from asd_offline.datasets import Clip, Dataset, Subset
from asd_offline.replay.jobs import FitJob, ScoreJob
from asd_offline.replay.work_folder import create_work_folder

QUICKSTART = "quickstart"
RESULT_FORMAT = 3
"""Increased whenever the result files of jobs change."""
BLOCK_CLIPS = 32
"""Clips of a score job. It takes about a second, which is what a stopped replay has to repeat."""
MAX_LISTED = 5


@dataclass(frozen=True, slots=True)
class GivenModel:
    """Model file that scores every section that it has a target for."""

    path: Path
    manifest: Manifest
    sha256: str
    trusted_keys: tuple[str, ...] = ()
    """Public keys of makers whose model files may run; empty: all may."""


@dataclass(frozen=True, slots=True)
class SectionPlan:
    """One section (2020: machine id), its clips and the target of the model that scores them."""

    number: int
    machine: str
    section: str
    train: tuple[Clip, ...]
    test: tuple[Clip, ...]
    target: str
    reason: str | None = None
    """Why it cannot be scored; None if nothing speaks against it before its clips are read."""

    @property
    def name(self) -> str:
        """Machine and section for display."""
        return f"{self.machine} {self.section}"


@dataclass(frozen=True)
class Plan:
    """Sections of a dataset and the jobs that score them."""

    dataset: Dataset
    sections: tuple[SectionPlan, ...]
    model: GivenModel | None
    """None: the quick-start detector is fitted for each section."""
    channel: int
    device: str
    work: Path
    """Folder of the jobs' results."""

    @property
    def used_channels(self) -> tuple[int, ...]:
        """Channels of the recordings that are scored."""
        count = self.model.manifest.channels if self.model else 1
        return tuple(range(self.channel, self.channel + count))

    def model_path(self, section: SectionPlan) -> Path:
        """Return the model file that scores a section."""
        return self.model.path if self.model else self.work / f"model-{section.number:04d}.asd"

    @property
    def trusted_keys(self) -> tuple[str, ...]:
        """Keys with which the model file must be signed; those fitted here need no signature."""
        return self.model.trusted_keys if self.model else ()

    def fit_result(self, section: SectionPlan) -> Path:
        """Return the result file of a section's fit job."""
        return self.work / f"fit-{section.number:04d}.json"

    def fit_jobs(self) -> list[FitJob]:
        """Return the jobs that fit a detector; none with a given model."""
        if self.model:
            return []
        return [
            FitJob(
                target=section.target,
                clips=tuple(clip.path for clip in section.train),
                channel=self.channel,
                model=self.model_path(section),
                result=self.fit_result(section),
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
                clips=section.test[first : first + BLOCK_CLIPS],
                target=section.target,
                channel=self.channel,
                device=self.device,
                model=self.model_path(section),
                result=self.work / f"scores-{section.number:04d}-{number:05d}.jsonl",
                trusted_keys=self.trusted_keys,
            )
            for number, first in enumerate(range(0, len(section.test), BLOCK_CLIPS))
        ]


def make_plan(
    dataset: Dataset, model: GivenModel | None, *, channel: int, device: str, work: Path
) -> Plan:
    """Plan a replay; its work folder is named after a digest of all that determines the scores.

    Parameters
    ----------
    dataset
        What is replayed.
    model
        Model file, or None for the quick-start detector.
    channel
        Channel of the recordings, from 0.
    device
        Where the model runs: auto, cpu or cuda.
    work
        Folder in which the work folder is created.

    Raises
    ------
    DatasetError
        If the folder cannot be created.
    """
    names = [
        (machine, section)
        for machine in dataset.machines()
        for section in dataset.sections(machine)
    ]
    clips: dict[tuple[str, str], list[Clip]] = {name: [] for name in names}
    for clip in dataset.clips:
        clips[clip.machine, clip.section].append(clip)
    sections = tuple(
        _plan_section(number, name, clips[name], model, is_only=len(names) == 1)
        for number, name in enumerate(names)
    )
    folder = work / _digest(dataset.clips, model, channel, device)
    create_work_folder(folder)
    return Plan(dataset, sections, model, channel, device, folder)


def restrict_to_subset(dataset: Dataset, subset: Subset) -> Dataset:
    """Return the dataset with the clips of one set of the challenge only.

    Raises
    ------
    DatasetError
        If there are none.
    """
    clips = tuple(clip for clip in dataset.clips if clip.subset == subset)
    if not clips:
        found = ", ".join(name for name in dataset.sets if name) or "no clips of either set"
        raise DatasetError(f"{dataset.root}: no clips of the {subset} set; found {found}")
    supplemental = tuple(clip for clip in dataset.supplemental if clip.subset == subset)
    return replace(dataset, clips=clips, supplemental=supplemental)


def read_given_model(text: str, trusted_keys: tuple[str, ...] = ()) -> GivenModel | None:
    """Verify the model file that ``--model`` names, and read its manifest; None for quick-start.

    Raises
    ------
    ConfigError
        If it names a folder, or there are keys and no model file.
    ModelFileError
        If the file does not exist, is damaged, has code that no model needs, or is not trusted.
    """
    if text == QUICKSTART:
        if trusted_keys:
            msg = f"--trusted-key is for a model file (--model FILE); {QUICKSTART} fits its own"
            raise ConfigError(msg)
        return None
    path = Path(text)
    if path.is_dir():
        msg = f"--model {path}: expected a model file, the folder of a training run, or "
        raise ConfigError(f"{msg}{QUICKSTART}, found a folder without run.json")
    verified = verify(path, LoadPolicy.of_user(trusted_keys))
    return GivenModel(path.absolute(), verified.manifest, verified.sha256, trusted_keys)


def _plan_section(
    number: int,
    name: tuple[str, str],
    clips: Sequence[Clip],
    model: GivenModel | None,
    is_only: bool,
) -> SectionPlan:
    machine, section = name
    train = tuple(clip for clip in clips if clip.split == "train")
    test = tuple(clip for clip in clips if clip.split == "test")
    target, reason = f"{machine}/{section}", None
    if model is not None:
        target, reason = _find_target(model.manifest.targets, machine, section, is_only)
    elif not train:
        reason = "no training clips, so there is nothing to fit a detector to"
    if not test:
        reason = "no test clips"
    return SectionPlan(number, machine, section, train, test, target, reason)


def _find_target(
    targets: Sequence[str], machine: str, section: str, is_only: bool
) -> tuple[str, str | None]:
    """Return the target that scores a section, or an empty name and the reason."""
    for target in (f"{machine}/{section}", machine):
        if target in targets:
            return target, None
    if is_only and len(targets) == 1:
        return targets[0], None
    listed = ", ".join(targets[:MAX_LISTED])
    if len(targets) > MAX_LISTED:
        listed += f" and {len(targets) - MAX_LISTED} more"
    return "", f"the model has no target {machine}/{section} and none {machine}; it has: {listed}"


def _digest(clips: Sequence[Clip], model: GivenModel | None, channel: int, device: str) -> str:
    """Return a digest of versions, model, settings and all clips with sizes and times."""
    digest = hashlib.sha256()
    model_id = model.sha256 if model else QUICKSTART
    settings = [RESULT_FORMAT, __version__, version("torch"), model_id, channel, device]
    digest.update(json.dumps(settings).encode())
    for clip in clips:
        identity = [str(clip.path.absolute()), clip.machine, clip.section, clip.split]
        digest.update(json.dumps([*identity, *file_version(clip.path)]).encode())
    return digest.hexdigest()[:24]


def file_version(path: Path) -> tuple[int, int]:
    """Return size and modification time in ns of a file; zeros if it cannot be read."""
    try:
        stat = path.stat()
    except OSError:  # rejected with its reason when it is read
        return 0, 0
    return stat.st_size, stat.st_mtime_ns
