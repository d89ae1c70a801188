"""Measure which faults a model can detect: inject them at falling levels into held-out sound."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from zlib import crc32

import numpy as np

from asd_monitor.detectability.held_out import Trial, plan_trials
from asd_monitor.detectability.result import (
    LIMITS_S,
    MIN_SOUND_S,
    MIN_TRIALS,
    Detectability,
    FaultLevels,
)
from asd_monitor.detectability.stream import Stream
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.detector import Detector
from asd_monitor.errors import AsdMonitorError, ConfigError
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.modes.learned import LearnedModes
from asd_monitor.progress import NoProgress, Progress
from asd_monitor.quickstart import Recording
from asd_monitor.synthesis.faults import MAX_LEVEL_DB, kinds_at

LEVELS_DB = tuple(float(level) for level in range(0, -37, -3))
MAX_CPU_S = 300.0
"""The measurement ends after this processor time, with the trials that are complete by then."""
STAGE = "faults"
MODEL_NAME = "quickstart"

_Lowest = dict[str, dict[int, float | None]]
"""Lowest detected levels of one trial, by kind and time."""


@dataclass(frozen=True, slots=True)
class MeasurementSettings:
    """How much is measured."""

    kinds: tuple[str, ...] | None = None
    """None: all that the sample rate allows."""
    levels_db: tuple[float, ...] = LEVELS_DB
    """The highest first."""
    seed: int = 0
    max_cpu_s: float = MAX_CPU_S
    cpu_clock: Callable[[], float] = time.process_time


DEFAULT_SETTINGS = MeasurementSettings()


def measure(
    recordings: Sequence[Recording],
    manifest: Manifest,
    model_sha256: str,
    *,
    target: str | None = None,
    alarm: AlarmSettings | None = None,
    settings: MeasurementSettings = DEFAULT_SETTINGS,
    progress: Progress | None = None,
) -> Detectability:
    """Measure how quiet the faults are that a model of quick start detects.

    Each trial fits the detector again without a stretch of the sound, and plays a stream through
    it and through the rules of the alarm: a minute of that stretch, then five minutes of it with a
    fault, from the highest level down to the first that is not detected. Levels below that one
    count as not detected.

    Parameters
    ----------
    recordings
        The normal sound that the model was learned from, in order of time.
    manifest, model_sha256
        Of the model file.
    target
        One of its targets; None: the first.
    alarm
        When alarms are raised; None: the defaults.
    settings
        How much is measured.
    progress
        Receives one stage; may raise to abort.

    Returns
    -------
    Detectability
        With a problem, and no faults, where the sound does not suffice.

    Raises
    ------
    ConfigError
        If the model is not one of quick start.
    """
    if manifest.name != MODEL_NAME:
        msg = (
            f"model {manifest.name}: expected a model made by `learn`, `run` or `refit`, which can "
            "be fitted again without a part of its sound"
        )
        raise ConfigError(msg)
    measurement = _Measurement(
        manifest,
        target or manifest.targets[0],
        alarm or AlarmSettings(),
        settings,
        progress or NoProgress(),
    )
    return measurement.run(recordings, model_sha256)


class _Measurement:
    def __init__(
        self,
        manifest: Manifest,
        target: str,
        alarm: AlarmSettings,
        settings: MeasurementSettings,
        progress: Progress,
    ) -> None:
        self._manifest, self._target, self._alarm = manifest, target, alarm
        self._settings, self._progress = settings, progress
        self._rate_hz = manifest.sample_rate_hz
        self._kinds = settings.kinds or kinds_at(self._rate_hz)
        asked = alarm.false_alarms_per_month
        self._rule = DecisionRule.from_manifest(manifest, target, asked)
        self._fitted: dict[int, tuple[Detector, LearnedModes | None]] = {}
        self._began_s = settings.cpu_clock()

    def run(self, recordings: Sequence[Recording], model_sha256: str) -> Detectability:
        sound_s = sum(len(each.samples) for each in recordings) / self._rate_hz
        plans = plan_trials(recordings, self._rate_hz)
        if plans:
            trials, alarmed, problem = self._run_trials(plans)
        else:
            trials, alarmed = [], 0
            problem = (
                f"expected at least {MIN_SOUND_S:.0f} s of normal sound to hold parts of it out, "
                f"found {sound_s:.0f} s; learn for longer"
            )
        supported = self._rule.supported_false_alarms_per_month or 0.0
        asked = self._alarm.false_alarms_per_month
        return Detectability(
            model_sha256=model_sha256,
            measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
            asked_per_month=asked,
            false_alarms_per_month=max(asked, supported),
            sound_s=round(sound_s, 3),
            trials=len(trials),
            alarmed_trials=alarmed,
            cpu_s=round(self._cpu_s, 1),
            faults=() if problem else tuple(self._summarise(trials)),
            problem=problem,
        )

    def _run_trials(self, plans: Sequence[Trial]) -> tuple[list[_Lowest], int, str]:
        """Return the complete trials, the number of those that alarmed, and a problem if any."""
        trials: list[_Lowest] = []
        alarmed = 0
        for number, plan in enumerate(plans):
            if self._cpu_s > self._settings.max_cpu_s:
                break
            try:
                stream = self._make_stream(plan, number)
            except AsdMonitorError as error:
                return trials, alarmed, str(error)
            except ValueError:  # parts that are left are too close to each other to be compared
                problem = "no model can be fitted to what is left of the sound; learn for longer"
                return trials, alarmed, problem
            if stream.find_delay_s(stream.normal) is not None:
                alarmed += 1
                continue
            found = self._measure_trial(stream, number, len(plans))
            if found is None:
                break
            trials.append(found)
        problem = "" if len(trials) >= MIN_TRIALS else self._explain(len(trials), alarmed)
        return trials, alarmed, problem

    @property
    def _cpu_s(self) -> float:
        return self._settings.cpu_clock() - self._began_s

    def _explain(self, trials: int, alarmed: int) -> str:
        """Return why there are too few trials."""
        if alarmed:
            return (
                f"in {alarmed} of {trials + alarmed} parts of the sound, normal sound that was "
                "held out raised the alarm by itself: it varies more than was learned; learn for "
                "longer"
            )
        return (
            f"expected {MIN_TRIALS} trials in {self._settings.max_cpu_s:.0f} s of processor time, "
            f"completed {trials}: this computer is too slow"
        )

    def _make_stream(self, plan: Trial, number: int) -> Stream:
        fitted = self._fitted.get(id(plan.learned))
        if fitted is None:
            fitted = self._fit(plan.learned)
            self._fitted = {id(plan.learned): fitted}
        detector, modes = fitted
        rng = np.random.default_rng([self._settings.seed, number])
        return Stream(detector, self._target, modes, self._alarm, plan.held_out, rng)

    def _fit(self, learned: Sequence[Recording]) -> tuple[Detector, LearnedModes | None]:
        """Fit the model again, without the sound that is held out; return its modes too."""
        manifest = self._manifest
        from asd_monitor.quickstart import fit

        fitted = fit(
            learned,
            target=self._target,
            sample_rate_hz=self._rate_hz,
            window_s=manifest.window_samples / self._rate_hz,
            hop_s=manifest.hop_samples / self._rate_hz,
        )
        asked = self._alarm.false_alarms_per_month
        rule = DecisionRule.from_manifest(fitted.manifest, self._target, asked)
        # Less sound supports more false alarms only; the rate is that of the model in use.
        rule = replace(rule, blocks_between_alarms=self._rule.blocks_between_alarms)
        model = LoadedModel(fitted.module, replace(fitted.manifest, modes={}), "", "cpu")
        modes = fitted.manifest.modes.get(self._target)
        return Detector(model, {self._target: rule}), modes

    def _measure_trial(self, stream: Stream, number: int, count: int) -> _Lowest | None:
        """Return the lowest levels by kind; None if the time is over before all are measured."""
        found: _Lowest = {}
        for index, kind in enumerate(self._kinds):
            done = (number + index / len(self._kinds)) / count
            self._progress.update(STAGE, done, 1.0, kind)
            if self._cpu_s > self._settings.max_cpu_s:
                return None
            seed = (self._settings.seed, number, crc32(kind.encode()))
            found[kind] = self._descend(stream, kind, seed)
        self._progress.update(STAGE, (number + 1) / count, 1.0)
        return found

    def _descend(self, stream: Stream, kind: str, seed: tuple[int, ...]) -> dict[int, float | None]:
        """Lower the level until the fault is not detected; return the lowest ones by time."""
        lowest: dict[int, float | None] = dict.fromkeys(LIMITS_S)
        open_limits = set(LIMITS_S)
        for level_db in _levels_of(kind, self._settings.levels_db):
            delay_s = stream.find_delay_s(stream.make_faulty(kind, level_db, seed))
            open_limits = {s for s in open_limits if delay_s is not None and delay_s <= s}
            if not open_limits:
                break
            lowest |= dict.fromkeys(open_limits, level_db)
        return lowest

    def _summarise(self, trials: Sequence[_Lowest]) -> Iterator[FaultLevels]:
        for kind in self._kinds:
            by_limit = {s: tuple(found[kind][s] for found in trials) for s in LIMITS_S}
            yield FaultLevels(kind, _levels_of(kind, self._settings.levels_db), by_limit)


def _levels_of(kind: str, levels_db: Sequence[float]) -> tuple[float, ...]:
    """Return the levels of a kind; some kinds have a highest one."""
    highest = MAX_LEVEL_DB.get(kind, np.inf)
    return tuple(dict.fromkeys(float(min(level, highest)) for level in levels_db))
