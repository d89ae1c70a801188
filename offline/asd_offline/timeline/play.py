"""Play a stream through the windows, detector and alarm of the live monitor, piece by piece."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from asd_monitor.audio.files import iter_recording
from asd_monitor.audio.windowing import SlidingWindow
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.detector import Detector
from asd_monitor.errors import DatasetError, SourceError
from asd_monitor.records import AudioChunk, Window, WindowScore
from asd_offline.jobs.pool import Tick
from asd_offline.jobs.result_file import write_result
from asd_offline.replay.jobs import load_cached
from asd_offline.timeline.trace import trace_scores

MACHINE = "timeline"


@dataclass(frozen=True, slots=True)
class PlayJob:
    """Play one stream."""

    stream: Path
    duration_s: float
    channel: int
    device: str
    model: Path
    target: str
    result: Path
    """JSON of a :class:`~asd_offline.timeline.trace.Trace`."""
    trusted_keys: tuple[str, ...] = ()

    @property
    def work(self) -> float:
        """Seconds of sound."""
        return self.duration_s

    def run(self, tick: Tick) -> None:
        """Play the stream and write its trace."""
        model = load_cached(self.model, self.device, self.trusted_keys)
        rule = DecisionRule.from_manifest(model.manifest, self.target)
        detector = Detector(model, {MACHINE: rule})
        scores = score_stream(self.stream, detector, self.channel)
        try:
            trace = trace_scores(scores, rule, AlarmSettings(), self.duration_s, tick)
        except SourceError as error:
            raise DatasetError(str(error)) from error
        write_result(self.result, trace.to_json())


def score_stream(path: Path, detector: Detector, channel: int = 0) -> Iterator[WindowScore]:
    """Yield the scores of a stream's windows; their times are seconds from its start.

    The windows are those that the live monitor cuts from a microphone. Only a few seconds of
    sound are in memory at a time.

    Raises
    ------
    SourceError
        If the recording cannot be read.
    """
    manifest = detector.manifest
    rate_hz = manifest.sample_rate_hz
    sliding = SlidingWindow(MACHINE, manifest.window_samples, manifest.hop_samples, rate_hz)
    waiting: list[Window] = []
    start = 0
    for samples in iter_recording(path, rate_hz, channel):
        end = start + len(samples)
        waiting += sliding.push(AudioChunk(samples, start, end / rate_hz))
        start = end
        while len(waiting) >= detector.max_batch:
            batch, waiting = waiting[: detector.max_batch], waiting[detector.max_batch :]
            yield from detector.score(batch)
    yield from detector.score(waiting)
