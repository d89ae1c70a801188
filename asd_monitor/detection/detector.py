"""Score windows: assess their quality, run the model, and look up p-values and thresholds."""

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from asd_monitor.audio.quality import Assessment, assess, without_offset
from asd_monitor.audio.windowing import iter_clip_windows
from asd_monitor.calibration import Calibration
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.passing.classifier import PassingSoundClassifier
from asd_monitor.detection.verdict import judge_clip
from asd_monitor.errors import ModelFileError
from asd_monitor.model_file.loaded_model import LoadedModel, Voices
from asd_monitor.model_file.manifest import Aggregation, Manifest
from asd_monitor.modes.learned import LearnedModes
from asd_monitor.modes.profile import window_profile
from asd_monitor.modes.tracker import ModeTracker
from asd_monitor.records import (
    SCORED_QUALITIES,
    FloatArray,
    ModelInfo,
    ModeReading,
    Quality,
    Verdict,
    Window,
    WindowScore,
)

logger = logging.getLogger(__name__)

MAX_BATCH = 16
DEFAULT_SETTINGS = AlarmSettings()


@dataclass(frozen=True, slots=True)
class ClipScore:
    """Result of a whole recording. Higher ``value`` = more anomalous."""

    name: str
    value: float | None
    """The scores of its windows, aggregated; None where no window could be scored."""
    p_value: float | None
    """How often one window of normal sound scores this high or higher, in (0, 1]."""
    extrapolated: bool
    threshold: float | None
    windows: tuple[WindowScore, ...]
    verdict: Verdict

    @property
    def above(self) -> bool | None:
        """Whether the clip's score is above the threshold; None where either is missing."""
        if self.value is None or self.threshold is None:
            return None
        return self.value > self.threshold


@dataclass(frozen=True, slots=True)
class _Measured:
    """What the model gave for one window; by default, nothing."""

    value: float | None = None
    voices: tuple[float, ...] = ()
    level_change_db: float | None = None
    inference_s: float = 0.0


class Detector:
    """Score the windows of any number of machines with one model.

    Parameters
    ----------
    model
        The loaded model.
    rules
        The decision rule of each machine, which names the machine's target.
    max_batch
        Largest number of windows that go through the model at once.
    clock
        Measures model time, in seconds.

    Attributes
    ----------
    max_batch
        As given.

    Raises
    ------
    ModelFileError
        If the model does not have the target of a rule.
    """

    def __init__(
        self,
        model: LoadedModel,
        rules: Mapping[str, DecisionRule],
        *,
        max_batch: int = MAX_BATCH,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model = model
        self._rules = dict(rules)
        self._target_index = {name: model.target_index(rule.target) for name, rule in rules.items()}
        self._calibrations = {
            name: model.manifest.calibrations.get(rule.target) for name, rule in rules.items()
        }
        self._infos = {name: self._make_info(name) for name in rules}
        self.max_batch = max_batch
        self._clock = clock
        self._seq: defaultdict[str, int] = defaultdict(int)
        self._trackers = {name: self._make_tracker(rule) for name, rule in rules.items()}
        self._passing = {
            name: PassingSoundClassifier(
                model.manifest.window_samples, model.manifest.sample_rate_hz
            )
            for name in rules
        }
        self._failures = 0

    @property
    def manifest(self) -> Manifest:
        """The manifest of the model file."""
        return self._model.manifest

    @property
    def model(self) -> LoadedModel:
        """The loaded model."""
        return self._model

    def target_index(self, machine: str) -> int:
        """Return the index of the machine's target."""
        return self._target_index[machine]

    def rule(self, machine: str) -> DecisionRule:
        """Return how the scores of a machine are judged."""
        return self._rules[machine]

    def adjust(self, machine: str, rule: DecisionRule, calibration: Calibration | None) -> None:
        """Judge the scores of a machine by another rule and calibration from the next one on."""
        self._rules[machine] = rule
        self._calibrations[machine] = calibration
        self._infos[machine] = self._make_info(machine)

    def continue_numbers(self, machine: str, earlier: "Detector") -> None:
        """Number the windows of a machine from where another detector stopped."""
        self._seq[machine] = earlier._seq.get(machine, 0)

    def score(self, windows: Sequence[Window]) -> list[WindowScore]:
        """Score windows, in their order; windows of all machines share batches.

        Silent, stuck and non-finite windows never reach the model, and a constant offset is
        removed. Where the model fails or gives no finite score, the window's quality is ``error``.
        """
        return self.begin(windows)()

    def begin(self, windows: Sequence[Window]) -> Callable[[], list[WindowScore]]:
        """Begin to score windows; return what waits for the result of :meth:`score`.

        On a GPU it returns at once. Any thread may call this, and several at the same time; the
        results of several calls must be taken by one thread, in the order of the windows.
        """
        require_channels(self.manifest, windows)
        rate_hz = self.manifest.sample_rate_hz
        assessments = [assess(window.samples, rate_hz) for window in windows]
        scorable = [
            i for i, assessment in enumerate(assessments) if assessment.quality in SCORED_QUALITIES
        ]
        runs: list[tuple[list[int], Callable[[], tuple[Voices, float]]]] = []
        for first in range(0, len(scorable), self.max_batch):
            batch = scorable[first : first + self.max_batch]
            chosen, offsets = [windows[i] for i in batch], [assessments[i].offset for i in batch]
            runs.append((batch, self._run(chosen, offsets)))

        def finish() -> list[WindowScore]:
            results: dict[int, _Measured] = {}
            for batch, wait in runs:
                measured, seconds = wait()
                for i, value, row, change_db in zip(batch, *measured, strict=True):
                    change = float(change_db) if math.isfinite(change_db) else None
                    window_s = seconds / len(batch)
                    results[i] = _Measured(float(value), tuple(row.tolist()), change, window_s)
            return [
                self._make_score(window, assessment, results.get(i, _Measured()))
                for i, (window, assessment) in enumerate(zip(windows, assessments, strict=True))
            ]

        return finish

    def score_recording(
        self,
        samples: FloatArray,
        name: str,
        machine: str,
        settings: AlarmSettings = DEFAULT_SETTINGS,
    ) -> ClipScore:
        """Score a recording in memory; parameters and result as of :meth:`score_blocks`."""
        return self.score_blocks([samples], name, machine, settings)

    def score_blocks(
        self,
        blocks: Iterable[FloatArray],
        name: str,
        machine: str,
        settings: AlarmSettings = DEFAULT_SETTINGS,
    ) -> ClipScore:
        """Score a recording as the live path would: same windows, same model, same thresholds.

        Only one batch of windows is in memory, whatever the length of the recording.

        Parameters
        ----------
        blocks
            Its samples in order, ``(n,)`` float32 each, mono, at the model's rate; for a model of
            several channels ``(channels, n)``.
        name
            Name of the recording, which its windows carry.
        machine
            Whose target, threshold and sequence numbers are used.
        settings
            Settings of the alarm, for the verdict.

        Returns
        -------
        ClipScore
            The capture times of its windows are seconds since the start of the recording.
        """
        self.forget_mode(machine)
        size, hop = self.manifest.window_samples, self.manifest.hop_samples
        rate_hz = self.manifest.sample_rate_hz
        windows = (
            _make_window(machine, row, i * hop, (i * hop + size) / rate_hz, name)
            for i, row in enumerate(iter_clip_windows(blocks, size, hop))
        )
        scores: list[WindowScore] = []
        while batch := list(islice(windows, self.max_batch)):
            scores += self.score(batch)
        values = [score.value for score in scores if score.value is not None]
        value = aggregate(values, self.manifest.aggregation) if values else None
        rule = self._rules[machine]
        p_value, extrapolated = self._compute_p_value(machine, value)
        verdict = judge_clip(value, scores, rule, settings)
        return ClipScore(name, value, p_value, extrapolated, rule.threshold, tuple(scores), verdict)

    def _run(
        self, windows: Sequence[Window], offsets: Sequence[float]
    ) -> Callable[[], tuple[Voices, float]]:
        """Run the model; return what waits for its results and seconds."""
        started_s = self._clock()
        begun = self._begin(windows, offsets)
        if self._model.is_asynchronous:
            return lambda: (self._accept(_wait(begun), len(windows)), self._clock() - started_s)
        outcome, seconds = _wait(begun), self._clock() - started_s
        return lambda: (self._accept(outcome, len(windows)), seconds)

    def _begin(
        self, windows: Sequence[Window], offsets: Sequence[float]
    ) -> Callable[[], Voices] | ModelFileError:
        """Call the model; return what waits for the results, or why it failed."""
        batch = np.empty((len(windows), *self.manifest.window_shape), np.float32)
        for row, window, offset in zip(batch, windows, offsets, strict=True):
            if window.channels is None:
                np.subtract(window.samples, np.float32(offset), out=row)
            else:
                row[:] = [without_offset(channel) for channel in window.channels]
        targets = np.array([self._target_index[window.machine] for window in windows], np.int64)
        try:
            return self._model.begin_voices(batch, targets)
        except ModelFileError as error:
            return error

    def _accept(self, outcome: Voices | ModelFileError, count: int) -> Voices:
        """Return the results of a call; NaN for all windows if the model has failed."""
        if not isinstance(outcome, ModelFileError):
            return outcome
        self._failures += 1
        logger.warning("%s (failure %d)", outcome, self._failures)
        unknown = np.full(count, math.nan)
        return Voices(unknown, np.empty((count, 0)), unknown)

    def _make_score(
        self,
        window: Window,
        assessment: Assessment,
        measured: _Measured,
    ) -> WindowScore:
        quality, value = assessment.quality, measured.value
        if value is not None and not math.isfinite(value):
            quality, value = Quality.ERROR, None
        machine = window.machine
        rule = self._rules[machine]
        octaves_db = None
        if value is not None and self._trackers[machine] is not None:
            octaves_db = window_profile(window.samples, self.manifest.sample_rate_hz)
        value, voices, mode = self._adjust_to_mode(window, value, measured.voices, octaves_db)
        p_value, extrapolated = self._compute_p_value(machine, value)
        passing = self._passing[machine].classify(window.samples, window.start, p_value)
        seq, self._seq[machine] = self._seq[machine], self._seq[machine] + 1
        return WindowScore(
            machine=machine,
            seq=seq,
            window_start=window.start,
            captured_at=window.captured_at,
            quality=quality,
            value=value,
            p_value=p_value,
            extrapolated=extrapolated,
            threshold=rule.threshold,
            level_dbfs=assessment.level_dbfs,
            lost_samples=window.lost_samples,
            inference_s=measured.inference_s,
            model=self._infos[machine],
            recording=window.recording,
            voices=voices,
            level_change_db=measured.level_change_db,
            mode=mode,
            passing=passing,
            octaves_db=octaves_db,
        )

    def _adjust_to_mode(
        self,
        window: Window,
        value: float | None,
        voices: tuple[float, ...],
        octaves_db: npt.NDArray[np.float64] | None,
    ) -> tuple[float | None, tuple[float, ...], ModeReading | None]:
        """Return the score and the voices of a window, adjusted to its mode, and the mode."""
        tracker = self._trackers[window.machine]
        if tracker is None:
            return value, voices, None
        if value is None or octaves_db is None:
            return value, voices, tracker.reading
        adjusted, mode = tracker.follow(octaves_db, window.start, np.array([value, *voices]))
        first, *others = adjusted.tolist()
        return first, tuple(others), mode

    def name_modes(self, machine: str, modes: LearnedModes) -> None:
        """Use the names of these modes, which are otherwise those of the model file."""
        tracker = self._trackers[machine]
        if tracker is not None:
            tracker.modes = modes

    def modes(self, machine: str) -> LearnedModes | None:
        """Return the modes of a machine; None where the model file has none."""
        tracker = self._trackers[machine]
        return None if tracker is None else tracker.modes

    def forget_mode(self, machine: str) -> None:
        """Find the mode of a machine again, because other sound follows."""
        tracker = self._trackers[machine]
        if tracker is not None:
            tracker.reset()

    def _make_tracker(self, rule: DecisionRule) -> ModeTracker | None:
        manifest = self.manifest
        modes = manifest.modes.get(rule.target)
        if modes is None:
            return None
        return ModeTracker(modes, manifest.window_samples, manifest.sample_rate_hz)

    def _compute_p_value(self, machine: str, value: float | None) -> tuple[float | None, bool]:
        calibration = self._calibrations[machine]
        if calibration is None or value is None:
            return None, False
        return calibration.p_value(value)

    def _make_info(self, machine: str) -> ModelInfo:
        manifest, rule = self.manifest, self._rules[machine]
        calibration = self._calibrations[machine]
        return ModelInfo(
            name=manifest.name,
            revision=manifest.revision,
            sha256=self._model.sha256,
            target=rule.target,
            sample_rate_hz=manifest.sample_rate_hz,
            window_samples=manifest.window_samples,
            hop_samples=manifest.hop_samples,
            calibration_windows=calibration.count if calibration else 0,
            provisional=rule.provisional,
        )


def _make_window(
    machine: str, sound: FloatArray, start: int, captured_at: float, recording: str
) -> Window:
    """Return a window of sound ``(window_samples,)`` or ``(channels, window_samples)``."""
    if sound.ndim == 1:
        return Window(machine, sound, start, captured_at, recording)
    return Window(machine, sound[0], start, captured_at, recording, channels=sound)


def _wait(begun: Callable[[], Voices] | ModelFileError) -> Voices | ModelFileError:
    """Wait for the results of a call; return them, or why the model failed."""
    if isinstance(begun, ModelFileError):
        return begun
    try:
        return begun()
    except ModelFileError as error:
        return error


def require_channels(manifest: Manifest, windows: Sequence[Window]) -> None:
    """Raise ModelFileError if windows do not have the channels that a model scores."""
    for window in windows:
        if (1 if window.channels is None else len(window.channels)) != manifest.channels:
            raise ModelFileError(describe_channels(manifest))


def describe_channels(manifest: Manifest) -> str:
    """Return which channels a model needs, and which commands read them."""
    return (
        f"model {manifest.name}: scores {manifest.channels} channels at once (a microphone near "
        "the machine and one away from it), and only recordings have both here: use it with "
        "`score`, `replay` or `picture`"
    )


def aggregate(values: Sequence[float], rule: Aggregation) -> float:
    """Return the score of a clip from the scores of its windows, at least one.

    ``mean``, ``max``, or ``top``: the mean of the highest tenth, at least one window.
    """
    if rule == "mean":
        return float(np.mean(values))
    if rule == "max":
        return float(np.max(values))
    highest = np.sort(np.asarray(values))[-math.ceil(len(values) / 10) :]
    return float(highest.mean())
