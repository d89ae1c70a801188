"""Everything that the alarm takes from a model file, as one frozen record."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from asd_monitor.calibration.learned_levels import LearnedLevels
from asd_monitor.calibration.normal_range import NormalRange
from asd_monitor.model_file.manifest import Manifest

P_RAISE = 0.001
P_CLEAR = 0.01


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """How the scores of one of a model's targets are judged."""

    target: str
    threshold: float | None
    """A score above this is an exceedance; None where the model file has no threshold."""
    clear_below: float
    """Scores up to this let an alarm clear; infinite where nothing is known of normal sound."""
    normal_range: NormalRange | None
    """None where the model file has none: no sustained shift is detected."""
    provisional: bool
    """True while too few calibration windows support the threshold."""
    window_samples: int
    sample_rate_hz: int
    levels: LearnedLevels | None = None
    """Range of the learned levels; None where the model file has none: it is never off."""

    @classmethod
    def from_manifest(
        cls,
        manifest: Manifest,
        target: str,
        p_raise: float | None = None,
        p_clear: float = P_CLEAR,
    ) -> Self:
        """Derive the rule of a target from its calibration, or from its stored threshold.

        Parameters
        ----------
        manifest
            Of the model file.
        target
            One of the manifest's targets.
        p_raise
            Probability that a window of normal sound scores above the threshold. None takes the
            threshold of the model file, and if it has none, 0.001.
        p_clear
            The same for ``clear_below``, which is never above the threshold.
        """
        calibration = manifest.calibrations.get(target)
        stored = manifest.thresholds.get(target)
        threshold: float | None = None
        if stored is not None and (p_raise is None or calibration is None):
            threshold = stored.value
        elif calibration is not None:
            threshold = calibration.threshold(p_raise or P_RAISE)
        clear_below = math.inf if threshold is None else threshold
        if calibration is not None:
            clear_below = min(calibration.threshold(p_clear), clear_below)
        return cls(
            target=target,
            threshold=threshold,
            clear_below=clear_below,
            normal_range=None if calibration is None else calibration.normal_range,
            provisional=calibration is None or calibration.provisional,
            window_samples=manifest.window_samples,
            sample_rate_hz=manifest.sample_rate_hz,
            levels=manifest.levels.get(target),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values that :meth:`from_dict` restores exactly."""
        values = asdict(self)
        values["clear_below"] = self.clear_below if math.isfinite(self.clear_below) else None
        if self.normal_range is not None:
            values["normal_range"] = self.normal_range.to_dict()
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Restore a rule from :meth:`to_dict`."""
        restored = dict(values)
        if restored["clear_below"] is None:
            restored["clear_below"] = math.inf
        if restored["normal_range"] is not None:
            restored["normal_range"] = NormalRange.from_dict(restored["normal_range"])
        if restored.get("levels") is not None:
            restored["levels"] = LearnedLevels.from_dict(restored["levels"])
        return cls(**restored)
