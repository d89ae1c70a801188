"""Learn from the training recordings of a machine as commissioning does."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from asd_monitor.audio.clip_segmenter import MIN_REMAINDER_S
from asd_monitor.audio.lazy_clips import ClipCache, LazyClip
from asd_monitor.audio.sample_rates import training_entry
from asd_monitor.errors import ConfigError, DatasetError
from asd_monitor.quickstart import Recording
from asd_offline.datasets.audio_files import read_length
from asd_offline.jobs.pool import Tick
from asd_offline.jobs.result_file import write_result
from asd_offline.replay.jobs import FIT_WORK_PER_CLIP, SAMPLE_RATE_HZ, TickProgress
from asd_offline.replay.records import FitResult
from asd_offline.replay.training_audio import open_training_clips

CLIP_S = 10.0
"""Commissioning cuts the sound that it learns from into clips of this length."""


@dataclass(frozen=True, slots=True)
class LearnJob:
    """Fit the quick-start detector to the training recordings of one machine."""

    machine: str
    recordings: tuple[Path, ...]
    channel: int
    duration_s: float
    model: Path
    """Model file to write."""
    result: Path
    """JSON of a :class:`FitResult`."""

    @property
    def work(self) -> float:
        """Work in units of scoring a second."""
        return FIT_WORK_PER_CLIP * self.duration_s

    def run(self, tick: Tick) -> None:
        """Fit the detector; write the model file and the result.

        Raises
        ------
        DatasetError
            If the recordings do not suffice.
        """
        from asd_monitor.model_file import save
        from asd_monitor.quickstart import fit

        cache = ClipCache(SAMPLE_RATE_HZ, self.channel)
        usable, rejected = open_training_clips(self.recordings, cache)
        clips = [clip for recording in usable for clip in cut_clips(recording)]
        progress = TickProgress(tick, self.work)
        try:
            fitted = fit(
                clips, target=self.machine, sample_rate_hz=SAMPLE_RATE_HZ, progress=progress
            )
        except ConfigError as error:
            reasons = "".join(f"\n  {file.path}: {file.reason}" for file in rejected[:5])
            raise DatasetError(f"{self.recordings[0].parent}: {error}{reasons}") from error
        names = {recording.name for recording in usable}
        rates_hz = [read_length(path).rate_hz for path in self.recordings if path.name in names]
        training = {**fitted.manifest.training, **training_entry(rates_hz)}
        sha256 = save(
            self.model,
            fitted.module,
            replace(fitted.manifest, training=training),
            normal_sound=fitted.normal_sound,
        )
        write_result(self.result, FitResult(sha256, rejected=rejected).to_json())


def cut_clips(recording: Recording) -> Iterator[Recording]:
    """Yield clips of ten seconds, related in time, as commissioning cuts them.

    A recording that is not longer is yielded as it is. A remainder becomes a clip if it is long
    enough.
    """
    samples = recording.samples
    size = round(CLIP_S * SAMPLE_RATE_HZ)
    if len(samples) <= size or not isinstance(samples, LazyClip):
        yield recording
        return
    for start in range(0, len(samples), size):
        stop = min(start + size, len(samples))
        if stop - start >= min(size, MIN_REMAINDER_S * SAMPLE_RATE_HZ):
            start_s = start / SAMPLE_RATE_HZ
            name = f"{recording.name} at {start_s:g} s"
            yield Recording(name, samples.part(start, stop), recording.name, start_s)
