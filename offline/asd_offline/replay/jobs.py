"""Jobs of a replay: fit a detector for one section, or score a block of clips."""

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asd_monitor.audio.sample_rates import training_entry
from asd_monitor.errors import ConfigError, SourceError
from asd_monitor.progress import NoProgress
from asd_offline.datasets import Clip
from asd_offline.datasets.audio_files import read_length
from asd_offline.jobs.pool import Tick
from asd_offline.jobs.result_file import write_result
from asd_offline.replay.records import ClipResult, FitResult

if TYPE_CHECKING:
    from asd_monitor.detection.detector import Detector
    from asd_monitor.model_file.loaded_model import LoadedModel
    from asd_monitor.quickstart import Recording

SAMPLE_RATE_HZ = 16_000
FIT_WORK_PER_CLIP = 3.0
"""Fitting to a clip takes about three times as long as scoring one."""
READ_SHARE = 0.1
"""Share of a fit that is spent on checking its recordings."""


@dataclass(frozen=True, slots=True)
class FitJob:
    """Fit the quick-start detector to the training clips of one section."""

    target: str
    clips: tuple[Path, ...]
    channel: int
    model: Path
    """Model file to write; it does not exist afterwards if the clips do not suffice."""
    result: Path
    """JSON of a :class:`FitResult`."""

    @property
    def work(self) -> float:
        """Work in units of scoring a clip."""
        return FIT_WORK_PER_CLIP * len(self.clips)

    def run(self, tick: Tick) -> None:
        """Fit the detector; write the model file and the result."""
        from asd_monitor.audio.lazy_clips import ClipCache
        from asd_offline.replay.training_audio import open_training_clips

        cache = ClipCache(SAMPLE_RATE_HZ, self.channel)
        recordings, rejected = open_training_clips(self.clips, cache)
        tick(READ_SHARE * self.work)
        try:
            result = FitResult(self._fit(recordings, tick), rejected=rejected)
        except ConfigError as error:
            reason = str(error).removeprefix(f"{self.target}: ")
            result = FitResult(None, reason, rejected)
        write_result(self.result, result.to_json())

    def _rates_hz(self, recordings: "list[Recording]") -> list[int]:
        """Return the sample rates of the clips that are learned from, before conversion."""
        used = {recording.name for recording in recordings}
        return [read_length(path).rate_hz for path in self.clips if path.name in used]

    def _fit(self, recordings: "list[Recording]", tick: Tick) -> str:
        """Return the SHA-256 of the model file."""
        from asd_monitor.model_file import save
        from asd_monitor.quickstart import fit

        progress = TickProgress(tick, (1 - READ_SHARE) * self.work)
        fitted = fit(
            recordings, target=self.target, sample_rate_hz=SAMPLE_RATE_HZ, progress=progress
        )
        lengths = [len(recording.samples) for recording in recordings]
        hop = covering_hop(round(float(np.median(lengths))), fitted.manifest.window_samples)
        manifest = replace(
            fitted.manifest,
            hop_samples=hop,
            training={**fitted.manifest.training, **training_entry(self._rates_hz(recordings))},
        )
        return save(self.model, fitted.module, manifest, normal_sound=fitted.normal_sound)


def covering_hop(clip_samples: int, window_samples: int) -> int:
    """Return the hop at which the fewest windows cover a clip to its last sample.

    >>> covering_hop(176_000, 32_000)  # 11 s in windows of 2 s: six of them, with a hop of 1.8 s
    28800
    """
    count = -(-clip_samples // window_samples)
    if count <= 1:
        return window_samples
    return (clip_samples - window_samples) // (count - 1)


class TickProgress(NoProgress):
    """Passes the progress of one stage on, as increments that add up to ``work``."""

    def __init__(self, tick: Tick, work: float) -> None:
        self._tick = tick
        self._work = work
        self._fraction = 0.0

    def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
        """Report the increment since the last call."""
        previous, self._fraction = self._fraction, done / total
        self._tick((self._fraction - previous) * self._work)


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """Score some clips of one section."""

    clips: tuple[Clip, ...]
    target: str
    channel: int
    device: str
    model: Path
    result: Path
    """JSON lines: the decision rule, then a :class:`ClipResult` for each clip."""
    trusted_keys: tuple[str, ...] = ()

    @property
    def work(self) -> float:
        """Number of clips."""
        return float(len(self.clips))

    def run(self, tick: Tick) -> None:
        """Score the clips and write the result."""
        from asd_monitor.detection.decision_rule import DecisionRule
        from asd_monitor.detection.detector import Detector

        model = load_cached(self.model, self.device, self.trusted_keys)
        rule = DecisionRule.from_manifest(model.manifest, self.target)
        detector = Detector(model, {self.target: rule})
        lines = [json.dumps(rule.to_dict(), allow_nan=False)]
        for clip in self.clips:
            lines.append(self._score(clip, detector).to_json())
            tick(1.0)
        write_result(self.result, "\n".join(lines) + "\n")

    def _score(self, clip: Clip, detector: "Detector") -> ClipResult:
        from asd_monitor.audio.files import read_model_input

        manifest = detector.manifest
        channels = range(self.channel, self.channel + manifest.channels)
        try:
            samples = read_model_input(
                clip.path, manifest.sample_rate_hz, channels, manifest.window_samples
            )
        except SourceError as error:
            return ClipResult(clip, reason=str(error))
        score = detector.score_recording(samples, str(clip.path), self.target)
        length = read_length(clip.path)
        return ClipResult.from_score(
            clip, score, samples.shape[-1], length.channels, length.rate_hz
        )


def load_cached(path: Path, device: str, trusted_keys: tuple[str, ...] = ()) -> "LoadedModel":
    """Load a model file; the next jobs of this process get the same model.

    If there are trusted keys, it must be signed with one of them, or have been learned here.
    """
    stat = path.stat() if path.exists() else None
    return _load(path, device, trusted_keys, stat.st_mtime_ns if stat else 0)


@lru_cache(maxsize=2)
def _load(
    path: Path, device: str, trusted_keys: tuple[str, ...], modified_ns: int
) -> "LoadedModel":
    from asd_monitor.model_file import LoadPolicy, load

    return load(path, device, policy=LoadPolicy.of_user(trusted_keys))
