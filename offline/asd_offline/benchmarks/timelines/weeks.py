"""Synthetic weeks: scores of normal sound without sound, so that a week takes seconds.

The realised rate of false alarms is compared with the one that is asked for. A model is learned
from the same process: 16 voices, as log scores of windows, that are Gaussian with a common part.

- ``white``: windows are independent.
- ``correlated``: half of the variance has a time constant of one minute (AR(1)).
- ``modes``: the same, with three modes of operation that last ten minutes on average, and shift
  each voice by one standard deviation or so. Modes differ in level by 10 dB or so, and in each
  octave by another 3 dB.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_monitor.calibration import Calibration
from asd_monitor.calibration.blocks import count_effective_windows, log_mean_exp
from asd_monitor.calibration.normal_range import NormalRange
from asd_monitor.calibration.voices import VoiceStatistics
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.modes.fit import adjust_held_out, fit_modes
from asd_monitor.modes.learned import LearnedModes
from asd_monitor.modes.tracker import ModeTracker
from asd_monitor.records import Quality, WindowScore
from asd_offline.benchmarks.timelines.continued import ContinuedCalibration, decide
from asd_offline.timeline.metrics import Rate
from asd_offline.timeline.outcome import evaluate_stream
from asd_offline.timeline.trace import trace_decisions, trace_scores

Matrix = npt.NDArray[np.float64]

PROCESSES = ("white", "correlated", "modes")
VOICES = 16
WINDOW_S = 2.0
RATE_HZ = 16_000
WINDOW_SAMPLES = round(WINDOW_S * RATE_HZ)
WEEK_S = 7 * 86_400
MONTH_S = 30 * 86_400
COMMON = 0.6
"""Correlation of two voices."""
SLOW = 0.5
"""Part of the variance that is correlated in time."""
TIME_CONSTANT_S = 60.0
SPREAD = 0.3
"""Standard deviation of a log score in one mode."""
MODES, MODE_S = 3, 600.0
OCTAVES = 8
LEVEL_DB, OCTAVE_DB = 10.0, 3.0
"""Standard deviations of the level of a mode, and of its octaves from that level."""
NOISE_DB = 0.5
"""Standard deviation of an octave from window to window."""
TARGET = "machine"
COLUMNS = (
    "supported per month",
    "weeks",
    "false alarms",
    "realised per month, 95 % interval",
    "by rule",
)


@dataclass(frozen=True)
class VoiceProcess:
    """Log scores of a machine's normal sound.

    Parameters
    ----------
    kind
        One of :data:`PROCESSES`.
    seed
        Of the machine, which determines its modes.
    """

    kind: str
    seed: int

    def draw(self, windows: int, rng: np.random.Generator) -> tuple[Matrix, Matrix]:
        """Return log scores and levels of consecutive windows.

        Returns
        -------
        Matrix
            ``(windows, voices)``.
        Matrix
            Levels of octaves in dB, ``(windows, octaves)``.
        """
        share = 0.0 if self.kind == "white" else SLOW
        values = np.sqrt(1 - share) * self._correlated_voices(windows, rng, 0.0)
        if share:
            keep = float(np.exp(-WINDOW_S / TIME_CONSTANT_S))
            values += np.sqrt(share) * self._correlated_voices(windows, rng, keep)
        profiles = NOISE_DB * rng.standard_normal((windows, OCTAVES))
        if self.kind == "modes":
            machine = np.random.default_rng([self.seed, 1])
            shifts = machine.standard_normal((MODES, VOICES))
            levels_db = LEVEL_DB * machine.standard_normal((MODES, 1))
            levels_db = levels_db + OCTAVE_DB * machine.standard_normal((MODES, OCTAVES))
            changes = rng.random(windows) < WINDOW_S / MODE_S
            modes = rng.integers(MODES, size=windows)
            last_change = np.maximum.accumulate(np.where(changes, np.arange(windows), 0))
            values += shifts[modes[last_change]]
            profiles += levels_db[modes[last_change]]
        return np.asarray(SPREAD * values), profiles

    def _correlated_voices(self, windows: int, rng: np.random.Generator, keep: float) -> Matrix:
        """Return Gaussian voices of variance 1 that correlate with each other."""
        noise = rng.standard_normal((windows, VOICES + 1))
        if keep:
            from scipy.signal import lfilter

            start = rng.standard_normal((1, VOICES + 1))
            gain = np.sqrt(1 - keep**2)
            noise, _ = lfilter([gain], [1.0, -keep], noise, axis=0, zi=keep * start)
        own, common = noise[:, :VOICES], noise[:, VOICES:]
        return np.asarray(np.sqrt(1 - COMMON) * own + np.sqrt(COMMON) * common)


class Fusion:
    """Score of a window from its voices: the log-mean-exp of their deviations."""

    def __init__(self, held_out: Matrix) -> None:
        self._centre = np.median(held_out, axis=0)
        self._scale = held_out.std(axis=0)

    def fuse(self, voices: Matrix) -> Matrix:
        """Return ``(windows,)`` scores."""
        return log_mean_exp((voices - self._centre) / self._scale)


def learn(held_out: Matrix, scores: Matrix, profiles: Matrix) -> Manifest:
    """Return the manifest of a model that learned sound.

    Parameters
    ----------
    held_out, scores, profiles
        Log scores of the voices, fused scores and levels of normal sound.
    """
    start_s = WINDOW_S * np.arange(len(scores))
    session = np.zeros(len(scores), np.int64)
    raw = np.column_stack([scores, held_out])
    modes = fit_modes(profiles, profiles.mean(1), session, start_s, WINDOW_S, raw)
    adjusted = adjust_held_out(modes, profiles, raw)
    scores, held_out = adjusted[:, 0], adjusted[:, 1:]
    calibration = Calibration.fit(
        scores,
        NormalRange.fit(scores, session, start_s, WINDOW_S),
        count_effective_windows(scores, session, start_s, WINDOW_S),
    )
    names = [f"voice {number}" for number in range(VOICES)]
    voices = VoiceStatistics.fit(names, held_out, scores, session, start_s, WINDOW_S)
    return Manifest(
        name="synthetic",
        revision="1",
        targets=(TARGET,),
        sample_rate_hz=RATE_HZ,
        window_samples=WINDOW_SAMPLES,
        hop_samples=WINDOW_SAMPLES,
        calibrations={TARGET: calibration},
        voices={} if voices is None else {TARGET: voices},
        modes={TARGET: modes},
    )


@dataclass(frozen=True, slots=True)
class Weeks:
    """Result of one process, amount of learned sound and rate that is asked for."""

    supported: float | None
    """Fewest false alarms per month that the learned sound supports, mean over machines."""
    weeks: float
    false_alarms: int
    by_rule: dict[str, int]

    def cells(self) -> list[str]:
        """Return the cells under :data:`COLUMNS`."""
        rate = Rate.from_count(self.false_alarms, self.weeks * WEEK_S / MONTH_S)
        rules = ", ".join(f"{count} {rule}" for rule, count in sorted(self.by_rule.items()))
        return [
            "-" if self.supported is None else f"{self.supported:.2g}",
            f"{self.weeks:g}",
            str(self.false_alarms),
            f"{rate.value:.2g} ({rate.low:.2g} to {rate.high:.2g})",
            rules or "-",
        ]


def measure_weeks(
    kind: str,
    learn_s: float,
    asked: float,
    seeds: Sequence[int],
    weeks: int,
    *,
    continued: bool = False,
) -> Weeks:
    """Learn a machine for each seed, and count the false alarms of its weeks.

    Parameters
    ----------
    kind, learn_s
        The process, and the amount of sound that is learned.
    asked
        False alarms per month.
    seeds
        One for each machine.
    weeks
        Of each machine.
    continued
        Whether the calibration is extended while monitoring.
    """
    false: dict[str, int] = {}
    supported: list[float] = []
    for seed in seeds:
        process = VoiceProcess(kind, seed)
        rng = np.random.default_rng([seed, PROCESSES.index(kind), round(learn_s)])
        held_out, profiles = process.draw(round(learn_s / WINDOW_S), rng)
        fusion = Fusion(held_out)
        manifest = learn(held_out, fusion.fuse(held_out), profiles)
        rule = DecisionRule.from_manifest(manifest, TARGET, asked)
        if rule.supported_false_alarms_per_month is not None:
            supported.append(rule.supported_false_alarms_per_month)
        settings = AlarmSettings(false_alarms_per_month=asked)
        scores = _scores(process, fusion, rule, manifest.modes[TARGET], rng, weeks)
        if continued:
            decided = decide(scores, ContinuedCalibration(manifest, settings))
            trace = trace_decisions(decided, weeks * WEEK_S)
        else:
            trace = trace_scores(scores, rule, settings, weeks * WEEK_S)
        for alarm in evaluate_stream(TARGET, kind, trace, ()).false_alarms:
            false[alarm.rule] = false.get(alarm.rule, 0) + 1
    mean = float(np.mean(supported)) if supported else None
    return Weeks(mean, weeks * len(seeds), sum(false.values()), false)


def _scores(
    process: VoiceProcess,
    fusion: Fusion,
    rule: DecisionRule,
    modes: LearnedModes,
    rng: np.random.Generator,
    weeks: int,
) -> Iterator[WindowScore]:
    """Yield the scores of some weeks, which are drawn at once for each week."""
    tracker = ModeTracker(modes, WINDOW_SAMPLES, RATE_HZ)
    for week in range(weeks):
        count = round(WEEK_S / WINDOW_S)
        voices, profiles = process.draw(count, rng)
        raw = np.column_stack([fusion.fuse(voices), voices])
        for index, (row, profile) in enumerate(zip(raw, profiles, strict=True), start=week * count):
            adjusted, mode = tracker.follow(profile, index * WINDOW_SAMPLES, row)
            value, *others = adjusted.tolist()
            yield WindowScore(
                machine=TARGET,
                seq=index,
                window_start=index * WINDOW_SAMPLES,
                captured_at=(index + 1) * WINDOW_S,
                quality=Quality.OK,
                value=value,
                p_value=None,
                extrapolated=False,
                threshold=rule.threshold,
                level_dbfs=None,
                lost_samples=0,
                inference_s=0.0,
                voices=tuple(others),
                mode=mode,
            )


def add_arguments(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command ``weeks``."""
    parser = kinds.add_parser("weeks", help="synthetic weeks of scores")
    parser.add_argument("--process", choices=PROCESSES, action="append")
    parser.add_argument("--learn-s", type=float, action="append")
    parser.add_argument("--asked", type=float, action="append", help="false alarms per month")
    parser.add_argument("--machines", type=int, default=4, help="models that are learned")
    parser.add_argument("--weeks", type=int, default=1, help="of each machine")
    parser.add_argument("--seed", type=int, default=100, help="of the first machine")
    parser.add_argument(
        "--continued", action="store_true", help="extend the calibration while monitoring"
    )


def measure(options: argparse.Namespace) -> Iterator[list[str]]:
    """Yield the rows of the table."""
    seeds = range(options.seed, options.seed + options.machines)
    for kind in options.process or PROCESSES:
        for learn_s in options.learn_s or (600.0, 7200.0):
            for asked in options.asked or (1.0, 30.0):
                result = measure_weeks(
                    kind, learn_s, asked, seeds, options.weeks, continued=options.continued
                )
                yield [kind, f"{learn_s / 60:g} min", f"{asked:g}", *result.cells()]
