"""The jobs of a replay: fit a detector for one section, or score a block of clips."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asd_monitor.errors import ConfigError, DatasetError, ModelFileError, SourceError
from asd_monitor.model_file.archive import write_atomically
from asd_offline.datasets.audio_files import length_of
from asd_offline.jobs.pool import Tick

if TYPE_CHECKING:
    from asd_monitor.detection.detector import ClipScore, Detector
    from asd_monitor.model_file.loaded_model import LoadedModel
    from asd_monitor.quickstart import Recording

SAMPLE_RATE_HZ = 16_000
FIT_WORK_PER_CLIP = 3.0
"""Fitting takes about so many times as long as scoring, which reads once and overlaps nothing."""
READ_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class FitJob:
    """Fit the quick-start detector to the training clips of one section."""

    target: str
    clips: tuple[Path, ...]
    channel: int
    model: Path
    """Model file to write; not there afterwards if the clips do not suffice."""
    result: Path
    """JSON: ``sha256`` or null with a ``reason``, and the ``rejected`` clips."""

    @property
    def work(self) -> float:
        """In clips to score."""
        return FIT_WORK_PER_CLIP * len(self.clips)

    def run(self, tick: Tick) -> None:
        """Fit, and write the model and the result."""
        from asd_monitor.audio.lazy_clips import ClipCache
        from asd_offline.replay.training_audio import open_training

        reader = ClipCache(SAMPLE_RATE_HZ, self.channel)
        recordings, rejected = open_training(self.clips, reader)
        tick(READ_SHARE * self.work)
        found: dict[str, Any] = {
            "sha256": None,
            "reason": None,
            "rejected": [[str(each.path), each.reason] for each in rejected],
        }
        try:
            found["sha256"] = self._fit(recordings, tick)
        except ConfigError as error:
            found["reason"] = str(error).removeprefix(f"{self.target}: ")
        write_result(self.result, json.dumps(found))

    def _fit(self, recordings: "list[Recording]", tick: Tick) -> str:
        from asd_monitor.model_file import save
        from asd_monitor.quickstart import fit

        steps = _steps(tick, (1 - READ_SHARE) * self.work)
        fitted = fit(recordings, target=self.target, sample_rate_hz=SAMPLE_RATE_HZ, progress=steps)
        clip_samples = round(float(np.median([len(each.samples) for each in recordings])))
        hop = covering_hop(clip_samples, fitted.manifest.window_samples)
        return save(self.model, fitted.module, replace(fitted.manifest, hop_samples=hop))


def write_result(path: Path, text: str) -> None:
    """Write a job's result whole or not at all; DatasetError if it cannot be written."""
    try:
        write_atomically(path, text.encode())
    except ModelFileError as error:
        raise DatasetError(str(error)) from error


def covering_hop(clip_samples: int, window_samples: int) -> int:
    """Return the hop at which the fewest windows cover a clip to its last sample.

    >>> covering_hop(176_000, 32_000)  # 11 s in windows of 2 s: six of them, 1.8 s apart
    28800
    """
    count = -(-clip_samples // window_samples)
    if count <= 1:
        return window_samples
    return (clip_samples - window_samples) // (count - 1)


def _steps(tick: Tick, work: float) -> Callable[[float], None]:
    """Turn the part that is done, rising to 1, into steps."""
    before = 0.0

    def report(part: float) -> None:
        nonlocal before
        step, before = part - before, part
        tick(step * work)

    return report


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """Score some clips of one section."""

    clips: tuple[Path, ...]
    target: str
    channel: int
    device: str
    model: Path
    result: Path
    """JSON lines: first the decision rule, then one line a clip."""

    @property
    def work(self) -> float:
        """In clips."""
        return float(len(self.clips))

    def run(self, tick: Tick) -> None:
        """Score, and write the result."""
        scorer, detector = _detector(self.model, self.target, self.device)
        rule = detector.rule(self.target)
        lines = [json.dumps(rule.to_dict(), allow_nan=False)]
        for path in self.clips:
            lines.append(json.dumps(self._score(path, scorer, detector), allow_nan=False))
            tick(1.0)
        write_result(self.result, "\n".join(lines) + "\n")

    def _score(self, path: Path, scorer: "LoadedModel", detector: "Detector") -> dict[str, Any]:
        from asd_monitor.audio.files import read_recording

        manifest = scorer.manifest
        try:
            samples = read_recording(
                path, manifest.sample_rate_hz, self.channel, manifest.window_samples
            )
        except SourceError as error:
            return {"rejected": str(error)}
        clip = detector.score_recording(samples, str(path), self.target)
        channels = length_of(path).channels
        return {"samples": len(samples), "channels": channels, **_clip_line(clip)}


def _clip_line(clip: "ClipScore") -> dict[str, Any]:
    return {
        "value": clip.value,
        "p_value": clip.p_value,
        "extrapolated": clip.extrapolated,
        "windows": [
            [
                each.window_start,
                each.value,
                each.p_value,
                each.extrapolated,
                str(each.quality),
                each.level_dbfs,
            ]
            for each in clip.windows
        ],
    }


def load_scorer(model: Path, device: str) -> "LoadedModel":
    """Load a model file, and keep it for the next job of this process."""
    stat = model.stat() if model.exists() else None
    return _load(model, device, stat.st_mtime_ns if stat else 0)


@lru_cache(maxsize=2)
def _load(model: Path, device: str, modified_ns: int) -> "LoadedModel":
    from asd_monitor.model_file import load

    return load(model, device)


def _detector(model: Path, target: str, device: str) -> "tuple[LoadedModel, Detector]":
    from asd_monitor.detection.decision_rule import DecisionRule
    from asd_monitor.detection.detector import Detector

    scorer = load_scorer(model, device)
    rule = DecisionRule.from_manifest(scorer.manifest, target)
    return scorer, Detector(scorer, {target: rule})
