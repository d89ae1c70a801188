"""Measure false alarms and detection delays of the live alarm on streams of windows.

Run ``python -m asd_offline.benchmarks.alarms pump`` on the demo's simulated pump, or
``... clips FOLDER`` on clips named as in DCASE 2020. A quick-start detector is fitted to normal
sound, and the windows of other sound, joined end to end, pass through the alarm of the daemon.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from asd_monitor.audio.files import read_recording
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.demo.pump_sound import PumpSound
from asd_monitor.detection.alarm import Alarm
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.quickstart import Recording, fit
from asd_monitor.records import FloatArray, Quality, State, WindowScore

SAMPLE_RATE_HZ = 16_000
TARGET = "machine"
FAULT_LEVELS = (0.02, 0.05, 0.1, 0.2)
PUMP_BLOCK_S = 120


class StreamDetector:
    """A quick-start detector whose scores are judged by the live alarm.

    Parameters
    ----------
    recordings
        Normal sound to fit the detector to.
    """

    def __init__(self, recordings: Sequence[Recording]) -> None:
        fitted = fit(recordings, target=TARGET)
        self._module = fitted.module.eval()
        self._rule = DecisionRule.from_manifest(fitted.manifest, TARGET)

    @property
    def window_s(self) -> float:
        """Length of a window in s."""
        return self._rule.window_samples / self._rule.sample_rate_hz

    def scores(self, samples: FloatArray) -> list[WindowScore]:
        """Return the scores of the adjacent windows of ``(n_samples,)``."""
        size = self._rule.window_samples
        windows = torch.from_numpy(clip_windows(samples, size, size).copy())
        with torch.inference_mode():
            columns = self._module.voices(windows, torch.zeros(len(windows), dtype=torch.int64))
        return [self._window_score(*row) for row in columns.tolist()]

    def states(self, scores: Sequence[WindowScore]) -> Iterator[State]:
        """Yield the alarm's state after each of a stream's windows."""
        alarm = Alarm(TARGET, AlarmSettings(), "benchmark")
        alarm.configure(self._rule, at=0.0)
        for index, score in enumerate(scores):
            start = index * self._rule.window_samples
            alarm.update(replace(score, seq=index, window_start=start))
            yield alarm.state

    def _window_score(self, value: float, *voices: float) -> WindowScore:
        return WindowScore(
            machine=TARGET,
            seq=0,
            window_start=0,
            captured_at=0.0,
            quality=Quality.OK,
            value=value,
            p_value=None,
            extrapolated=False,
            threshold=self._rule.threshold,
            level_dbfs=None,
            lost_samples=0,
            inference_s=0.0,
            voices=voices,
        )


@dataclass(frozen=True, slots=True)
class StreamResult:
    """How the alarm judged one stream of normal windows followed by faulty ones."""

    false_warnings: int
    """Entries into WARNING or ALARM during normal sound."""
    false_alarms: int
    """Entries into ALARM during normal sound."""
    warning_delay_s: float | None
    """From the first faulty window to WARNING or ALARM; None if it was not reached."""
    alarm_delay_s: float | None
    alarm_fraction: float | None
    """Fraction of the faulty windows in ALARM; None without faulty windows."""


def judge_stream(
    detector: StreamDetector, normal: Sequence[WindowScore], faulty: Sequence[WindowScore]
) -> StreamResult:
    """Pass the scores of a stream through the alarm and return its errors and delays."""
    states = list(detector.states([*normal, *faulty]))
    before, after = states[: len(normal)], states[len(normal) :]
    raised = {State.WARNING, State.ALARM}
    alarms = [state is State.ALARM for state in after]
    return StreamResult(
        _entries([state in raised for state in before]),
        _entries([state is State.ALARM for state in before]),
        _delay_s([state in raised for state in after], detector.window_s),
        _delay_s(alarms, detector.window_s),
        float(np.mean(alarms)) if alarms else None,
    )


def _entries(active: Sequence[bool]) -> int:
    return sum(now and not earlier for earlier, now in zip([False, *active], active, strict=False))


def _delay_s(active: Sequence[bool], window_s: float) -> float | None:
    return (active.index(True) + 1) * window_s if any(active) else None


def print_stream(
    name: str,
    detector: StreamDetector,
    normal: Sequence[WindowScore],
    faulty: Sequence[WindowScore],
) -> None:
    """Print a row of the table."""
    result = judge_stream(detector, normal, faulty)
    cells = (
        result.false_warnings,
        result.false_alarms,
        _in_seconds(result.warning_delay_s),
        _in_seconds(result.alarm_delay_s),
        "" if result.alarm_fraction is None else f"{result.alarm_fraction:.0%}",
    )
    print(f"| {name} | {' | '.join(map(str, cells))} |", flush=True)


def _in_seconds(delay_s: float | None) -> str:
    return "" if delay_s is None else f"{delay_s:.0f} s"


def measure_pump(seed: int, learn_s: int, hours: float) -> None:
    """Measure fresh normal sound of the simulated pump, then each level of its fault."""
    pump = PumpSound(seed, SAMPLE_RATE_HZ)

    def sound(start_s: float, duration_s: float, fault: float = 0.0) -> FloatArray:
        start, count = round(start_s * SAMPLE_RATE_HZ), round(duration_s * SAMPLE_RATE_HZ)
        return pump.block(start, count, fault).astype(np.float32)

    detector = StreamDetector(
        [Recording(str(at_s), sound(at_s, 10), "one", at_s) for at_s in range(0, learn_s, 10)]
    )
    test_s = learn_s + 600
    normal = [
        score
        for at_s in range(0, round(3600 * hours), PUMP_BLOCK_S)
        for score in detector.scores(sound(test_s + at_s, PUMP_BLOCK_S))
    ]
    print_stream("normal sound", detector, normal, [])
    for level in FAULT_LEVELS:
        faulty = detector.scores(sound(test_s, 300, level))
        print_stream(f"fault {level}", detector, normal[:60], faulty)


def measure_clips(folder: Path, pattern: str, learn_clips: int, seed: int, streams: int) -> None:
    """Measure shuffled streams of the normal clips that were not learned, then of all anomalies."""
    paths = sorted(folder.glob(f"t*/{pattern}.wav"))
    normal_paths = [path for path in paths if path.name.startswith("normal")]
    random = np.random.default_rng(seed)
    order = random.permutation(len(normal_paths))
    learned = [normal_paths[index] for index in order[:learn_clips]]
    detector = StreamDetector(
        [Recording(path.name, read_recording(path, SAMPLE_RATE_HZ)) for path in learned]
    )

    def clip_scores(clips: Sequence[Path]) -> list[list[WindowScore]]:
        return [detector.scores(read_recording(path, SAMPLE_RATE_HZ)) for path in clips]

    normal = clip_scores([normal_paths[index] for index in order[learn_clips:]])
    faulty = clip_scores([path for path in paths if path.name.startswith("anomaly")])
    for number in range(streams):
        random.shuffle(normal)
        random.shuffle(faulty)
        print_stream(f"stream {number}", detector, list(chain(*normal)), list(chain(*faulty)))


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    pump = kinds.add_parser("pump", help="the demo's simulated pump")
    pump.add_argument("--learn-s", type=int, default=300, help="seconds of normal sound to learn")
    pump.add_argument("--hours", type=float, default=1.0, help="hours of normal sound to judge")
    clips = kinds.add_parser("clips", help="a folder with train/ and test/ as in DCASE 2020")
    clips.add_argument("folder", type=Path)
    clips.add_argument("--pattern", default="*", help="name pattern of the clips, without .wav")
    clips.add_argument("--learn-clips", type=int, default=10, help="normal clips to learn")
    clips.add_argument("--streams", type=int, default=20, help="random orders of the clips")
    for kind in (pump, clips):
        kind.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| stream | false warnings | false alarms | to warning | to alarm | in alarm |")
    print("|---|---|---|---|---|---|")
    if options.kind == "pump":
        measure_pump(options.seed, options.learn_s, options.hours)
    else:
        measure_clips(
            options.folder, options.pattern, options.learn_clips, options.seed, options.streams
        )


if __name__ == "__main__":
    main()
