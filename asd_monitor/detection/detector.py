"""Windows in, scores out: quality first, then the model, then what the score means."""

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_monitor.audio.quality import assess
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.calibration.normal_range import NormalRange
from asd_monitor.errors import ModelFileError
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_monitor.model_file.manifest import Aggregation, Manifest
from asd_monitor.records import (
    SCORED_QUALITIES,
    FloatArray,
    ModelInfo,
    Quality,
    Window,
    WindowScore,
)

logger = logging.getLogger(__name__)

P_RAISE = 0.001
P_CLEAR = 0.01
LARGEST_BATCH = 16


@dataclass(frozen=True, slots=True)
class ClipScore:
    """A whole recording's result. Higher ``value`` = more anomalous."""

    name: str
    value: float | None
    """The windows' scores by the manifest's rule; None where no window could be scored."""
    p_value: float | None
    """How often one window of normal sound scores this high or higher, in (0, 1]."""
    extrapolated: bool
    threshold: float | None
    windows: tuple[WindowScore, ...]

    @property
    def above(self) -> bool | None:
        """Whether the clip's score lies above the threshold; None where either is missing."""
        if self.value is None or self.threshold is None:
            return None
        return self.value > self.threshold


class Detector:
    """Score the windows of any number of machines with one model.

    Parameters
    ----------
    scorer
        The loaded model.
    target_by_machine
        Which of the model's targets each machine is.
    p_raise
        A window rarer than this among normal sound lies above the threshold; one number or one
        by machine. None takes the threshold of the model file, and where it has none, 0.001.
    p_clear
        As ``p_raise``, for :meth:`clear_below`; at least ``p_raise``.
    require_threshold
        Refuse a target for which the model file has neither calibration nor threshold.
    largest_batch
        So many windows at most go through the model at once.
    clock
        Measures model time, in seconds.

    Attributes
    ----------
    largest_batch
        As given.

    Raises
    ------
    ModelFileError
        If the model has no such target, or no threshold for it where one is required.
    """

    def __init__(
        self,
        scorer: LoadedModel,
        target_by_machine: Mapping[str, str],
        p_raise: float | Mapping[str, float] | None = None,
        *,
        p_clear: float | Mapping[str, float] = P_CLEAR,
        require_threshold: bool = True,
        largest_batch: int = LARGEST_BATCH,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._scorer = scorer
        self._targets = dict(target_by_machine)
        self._index = {name: scorer.target_index(each) for name, each in self._targets.items()}
        self.largest_batch = largest_batch
        self._clock = clock
        self._infos = {name: self._make_info(each) for name, each in self._targets.items()}
        self._thresholds = {
            name: self._make_threshold(each, _of(p_raise, name))
            for name, each in self._targets.items()
        }
        self._clear = {
            name: self._make_clear(name, _of(p_clear, name) or P_CLEAR) for name in self._targets
        }
        missing = [name for name, value in self._thresholds.items() if value is None]
        if missing and require_threshold:
            msg = (
                f"model {self.manifest.name}: has neither calibration nor threshold for target "
                f"{self._targets[missing[0]]!r}; export it again with held-out normal sound"
            )
            raise ModelFileError(msg)
        self._seq: defaultdict[str, int] = defaultdict(int)
        self._failures = 0

    @property
    def manifest(self) -> Manifest:
        """What the model file says of itself."""
        return self._scorer.manifest

    def model_info(self, machine: str) -> ModelInfo:
        """Return which model scores this machine, and how much stands behind its threshold."""
        return self._infos[machine]

    def threshold(self, machine: str) -> float | None:
        """Return the score above which a window counts; None where the model has none."""
        return self._thresholds[machine]

    def clear_below(self, machine: str) -> float:
        """Return the score up to which a window is quiet enough to clear an alarm."""
        return self._clear[machine]

    def normal_range(self, machine: str) -> NormalRange | None:
        """Return the normal range of its score; None where the model file has none."""
        calibration = self.manifest.calibrations.get(self._targets[machine])
        return None if calibration is None else calibration.normal_range

    def score(self, windows: Sequence[Window]) -> list[WindowScore]:
        """Score windows, in their order; those of all machines share batches.

        Silent, stuck and non-finite windows never reach the model. Where the model fails or
        gives no finite score, the window's quality is ``error``.
        """
        assessments = [assess(window.samples) for window in windows]
        scored = [i for i, each in enumerate(assessments) if each.quality in SCORED_QUALITIES]
        results: dict[int, tuple[float, float]] = {}
        for first in range(0, len(scored), self.largest_batch):
            batch = scored[first : first + self.largest_batch]
            began = self._clock()
            values = self._run([windows[i] for i in batch])
            took_s = (self._clock() - began) / len(batch)
            results |= {i: (float(value), took_s) for i, value in zip(batch, values, strict=True)}
        return [
            self._make_score(window, each.quality, each.level_dbfs, *results.get(i, (None, 0.0)))
            for i, (window, each) in enumerate(zip(windows, assessments, strict=True))
        ]

    def score_recording(self, samples: FloatArray, name: str, machine: str) -> ClipScore:
        """Score a recording as the live path would: same windows, same model, same thresholds.

        Parameters
        ----------
        samples
            ``(n,)`` float32, mono, at the model's rate.
        name
            Which recording it is; the windows carry it.
        machine
            Whose target, threshold and sequence numbers are used.

        Returns
        -------
        ClipScore
            Its windows are dated in seconds since the recording's start.
        """
        size, hop = self.manifest.window_samples, self.manifest.hop_samples
        rate_hz = self.manifest.sample_rate_hz
        views = clip_windows(samples, size, hop)
        scores: list[WindowScore] = []
        for first in range(0, len(views), self.largest_batch):
            windows = [
                Window(machine, view, i * hop, (i * hop + size) / rate_hz, name)
                for i, view in enumerate(views[first : first + self.largest_batch], start=first)
            ]
            scores += self.score(windows)
        values = [score.value for score in scores if score.value is not None]
        value = aggregate(values, self.manifest.aggregation) if values else None
        p_value, extrapolated = self._p_value(machine, value)
        return ClipScore(
            name, value, p_value, extrapolated, self._thresholds[machine], tuple(scores)
        )

    def _run(self, windows: Sequence[Window]) -> npt.NDArray[np.float64]:
        batch = np.empty((len(windows), self.manifest.window_samples), np.float32)
        for row, window in zip(batch, windows, strict=True):
            row[:] = window.samples
        targets = np.array([self._index[window.machine] for window in windows], np.int64)
        try:
            return self._scorer.score(batch, targets)
        except ModelFileError as error:
            self._failures += 1
            logger.warning("%s (failure %d)", error, self._failures)
            return np.full(len(windows), math.nan)

    def _make_score(
        self,
        window: Window,
        quality: Quality,
        level_dbfs: float | None,
        value: float | None,
        inference_s: float,
    ) -> WindowScore:
        if value is not None and not math.isfinite(value):
            quality, value = Quality.ERROR, None
        machine = window.machine
        p_value, extrapolated = self._p_value(machine, value)
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
            threshold=self._thresholds[machine],
            level_dbfs=level_dbfs,
            lost_samples=window.lost_samples,
            inference_s=inference_s,
            model=self._infos[machine],
            recording=window.recording,
        )

    def _p_value(self, machine: str, value: float | None) -> tuple[float | None, bool]:
        calibration = self.manifest.calibrations.get(self._targets[machine])
        if calibration is None or value is None:
            return None, False
        return calibration.p_value(value)

    def _make_threshold(self, target: str, p: float | None) -> float | None:
        calibration = self.manifest.calibrations.get(target)
        stored = self.manifest.thresholds.get(target)
        if stored is not None and (p is None or calibration is None):
            return stored.value
        return None if calibration is None else calibration.threshold(p or P_RAISE)

    def _make_clear(self, machine: str, p: float) -> float:
        threshold = self._thresholds[machine]
        calibration = self.manifest.calibrations.get(self._targets[machine])
        highest = math.inf if threshold is None else threshold
        return highest if calibration is None else min(calibration.threshold(p), highest)

    def _make_info(self, target: str) -> ModelInfo:
        manifest = self.manifest
        calibration = manifest.calibrations.get(target)
        return ModelInfo(
            name=manifest.name,
            revision=manifest.revision,
            sha256=self._scorer.sha256,
            target=target,
            sample_rate_hz=manifest.sample_rate_hz,
            window_samples=manifest.window_samples,
            hop_samples=manifest.hop_samples,
            calibration_windows=calibration.count if calibration else 0,
            provisional=calibration is None or calibration.provisional,
        )


def aggregate(values: Sequence[float], rule: Aggregation) -> float:
    """Return a clip's score from its windows' scores, at least one.

    ``mean``, ``max``, or ``top``: the mean of the highest tenth, at least one.
    """
    if rule == "mean":
        return float(np.mean(values))
    if rule == "max":
        return float(np.max(values))
    highest = np.sort(np.asarray(values))[-math.ceil(len(values) / 10) :]
    return float(highest.mean())


def _of(value: float | Mapping[str, float] | None, machine: str) -> float | None:
    return value.get(machine) if isinstance(value, Mapping) else value
