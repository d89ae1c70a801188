"""Labelled folds from normal recordings: held-out ones are normal, and faulty with a fault added.

Test clips of the dataset, and all labels, are never opened.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asd_monitor.errors import DatasetError
from asd_monitor.progress import Progress
from asd_monitor.storage.durable import write_durably
from asd_monitor.synthesis.faults import FAULTS, FaultContext, add_fault
from asd_monitor.synthesis.signals import DoubleArray
from asd_offline.datasets.clip import Clip
from asd_offline.datasets.layouts.csv_list import COLUMNS
from asd_offline.synth.real_recordings import read_channels
from asd_offline.synth.render import FAR_DB
from asd_offline.synth.seeds import derive_seed
from asd_offline.synth.writer import write_wav

LEVELS_DB = (-6.0, -12.0, -18.0)
"""Levels of the faults relative to the recording: faint enough that AUCs differ."""
FAULTS_PER_CLIP = 2
MAX_TRAIN_CLIPS, MAX_TEST_CLIPS = 400, 48
"""Of a fold; of more recordings, each section and domain keeps the same number as far as it can."""
MIN_CLIPS = 3
"""Of a section, for every fold to have a test clip and two training clips."""
SHAFT_HZ = (12.0, 30.0)
FULL_SCALE = 32768.0
LIST = "folds.csv"
"""List of the recordings of all folds, in their folder."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Recordings for training and for testing, none of them in both."""

    name: str
    """Name of the machine that the fold is in the dataset of the folds."""
    train: tuple[Clip, ...]
    test: tuple[Clip, ...]


def plan_folds(clips: Sequence[Clip], folds: int, seed: int = 0) -> list[Fold]:
    """Divide normal training clips into folds, each section and domain evenly.

    Parameters
    ----------
    clips
        Training clips of one machine.
    folds
        Number of folds: each clip is a test clip of one of them, unless there are too many.
    seed
        Seed of the division.

    Raises
    ------
    DatasetError
        If there are fewer clips than folds, or a training part would have under two.
    """
    machine = clips[0].machine
    if len(clips) < max(folds, MIN_CLIPS):
        msg = f"{machine}: expected at least {max(folds, MIN_CLIPS)} normal recordings"
        raise DatasetError(f"{msg} for {folds} folds, found {len(clips)}")
    rng = np.random.default_rng((seed, derive_seed("folds", machine)))
    parts: list[list[Clip]] = [[] for _ in range(folds)]
    groups: dict[tuple[str, str], list[Clip]] = {}
    for clip in clips:
        groups.setdefault((clip.section, clip.domain), []).append(clip)
    position = 0
    for group in groups.values():
        for index in rng.permutation(len(group)):
            parts[position % folds].append(group[index])
            position += 1
    found = []
    for number, part in enumerate(parts):
        others = [clip for other in parts if other is not part for clip in other]
        train, test = _thin(others, MAX_TRAIN_CLIPS), _thin(part, MAX_TEST_CLIPS)
        found.append(Fold(f"{machine}-fold{number}", train, test))
    return found


def _thin(clips: Sequence[Clip], count: int) -> tuple[Clip, ...]:
    """Return at most ``count`` clips, of each section and domain as equal a number as possible."""
    groups: dict[tuple[str, str], list[Clip]] = {}
    for clip in sorted(clips, key=lambda clip: (clip.section, clip.domain, clip.name)):
        groups.setdefault((clip.section, clip.domain), []).append(clip)
    kept: dict[tuple[str, str], list[Clip]] = {}
    left = count
    for number, key in enumerate(sorted(groups, key=lambda key: (len(groups[key]), key))):
        group = groups[key]
        share = min(len(group), left // (len(groups) - number))
        picked = np.linspace(0, len(group) - 1, share).round().astype(int)
        kept[key] = [group[index] for index in picked]
        left -= share
    return tuple(clip for key in groups for clip in kept[key])


def write_folds(folder: Path, folds: Sequence[Fold], progress: Progress) -> None:
    """Write the folds as machines of one dataset: recordings, and a list of them.

    Parameters
    ----------
    folder
        Of the dataset.
    folds
        The folds of all machines.
    progress
        Receives the stage ``folds``.

    Raises
    ------
    DatasetError
        If a recording cannot be read, or the folder cannot be written.
    """
    total = sum(len(fold.train) + len(fold.test) for fold in folds)
    rows: list[tuple[str, ...]] = []
    done = 0
    for fold in folds:
        for split, clips in (("train", fold.train), ("test", fold.test)):
            for index, clip in enumerate(clips):
                for name, label in _write_clip(folder, fold.name, split, clip, index):
                    rows.append((name, label, split, fold.name, *_conditions(clip)))
                done += 1
                progress.update("folds", done, total)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([COLUMNS, *rows])
    write_durably(folder / LIST, text.getvalue().encode())


def _conditions(clip: Clip) -> tuple[str, str, str]:
    """Return section, domain and attributes as the list has them."""
    attributes = " ".join(f"{key}={value}" for key, value in clip.attributes)
    return clip.section, clip.domain, attributes


def _write_clip(
    folder: Path, fold: str, split: str, clip: Clip, index: int
) -> Iterator[tuple[str, str]]:
    """Write a clip, of a test clip faulty copies as well; yield their names and labels."""
    channels, rate_hz = read_channels(clip.path)
    near_and_far = channels[:2]
    place = Path(fold) / split
    if split == "test":
        rng = np.random.default_rng(derive_seed("faults", clip.machine, clip.name))
        shaft_hz = float(rng.uniform(*SHAFT_HZ))
        for repetition in range(FAULTS_PER_CLIP):
            case = index * FAULTS_PER_CLIP + repetition
            kind = tuple(FAULTS)[case % len(FAULTS)]
            level_db = LEVELS_DB[case // len(FAULTS) % len(LEVELS_DB)]
            context = FaultContext(near_and_far[0], rate_hz, shaft_hz, level_db, rng)
            name = place / f"anomaly_{case:08d}.wav"
            _write(folder / name, _add_fault(near_and_far, kind, context), rate_hz)
            yield name.as_posix(), "anomaly"
    name = place / f"normal_{index:08d}.wav"
    _write(folder / name, near_and_far, rate_hz)
    yield name.as_posix(), "normal"


def _add_fault(near_and_far: DoubleArray, kind: str, context: FaultContext) -> DoubleArray:
    """Return both channels with a fault, at the far microphone as faint as the machine is there."""
    near = near_and_far[:1]
    faulty = add_fault(kind, context)
    gain, mean = 10 ** (faulty.gain_db / 20), faulty.sound.mean()
    fault = (faulty.sound - mean) / gain + mean - near
    far = gain * (near_and_far[1:] + 10 ** (FAR_DB / 20) * fault)
    return np.concatenate([faulty.sound[None], far])


def _write(path: Path, channels: DoubleArray, rate_hz: int) -> None:
    peak = float(np.max(np.abs(channels)))
    steps = np.round(channels.T / max(1.0, peak / 0.999) * FULL_SCALE)
    write_wav(path, np.clip(steps, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16), rate_hz)
