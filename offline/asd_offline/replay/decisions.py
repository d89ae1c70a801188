"""Decisions on the clips of a section by each rule for the threshold."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from asd_monitor.model_file.manifest import Manifest
from asd_offline.evaluation.gamma_threshold import GammaThreshold, gamma_threshold
from asd_offline.replay.records import ClipResult

ThresholdSource = Literal["model", "gamma"]
"""Threshold of the decisions: that of the model file, or the rule of the DCASE baselines."""

GAMMA_QUANTILE = 0.9
MAX_GAMMA_SCORES = 2000


@dataclass(frozen=True, slots=True)
class ClipDecisions:
    """How many labelled clips of a section are decided anomalous by one rule."""

    rule: str | None
    """How the threshold was determined, or why there is none."""
    threshold: float | None
    """A clip is decided anomalous if its score is above this."""
    anomalies: int
    normals: int
    true_positives: int | None
    """Anomalous clips that are decided anomalous; None without a threshold."""
    false_positives: int | None
    """Normal clips that are decided anomalous; None without a threshold."""

    def to_dict(self) -> dict[str, Any]:
        """Return values for ``json.dumps``."""
        return asdict(self)


def decide_by_each_rule(
    clips: Iterable[ClipResult], manifest: Manifest, target: str, model_threshold: float | None
) -> Mapping[ThresholdSource, ClipDecisions]:
    """Apply the thresholds of all rules to the clips of a section.

    Parameters
    ----------
    clips
        Clips with scores; those without a label are ignored.
    manifest
        Of the model file.
    target
        The section's target in it.
    model_threshold
        Threshold of the model file for windows; None if it has none.
    """
    scores: tuple[list[float], list[float]] = ([], [])
    for clip in clips:
        if clip.value is not None and clip.clip.label is not None:
            scores[clip.clip.label].append(clip.value)
    normals, anomalies = scores
    sources: tuple[ThresholdSource, ...] = get_args(ThresholdSource)
    found: dict[ThresholdSource, ClipDecisions] = {}
    for source in sources:
        threshold, rule = decision_threshold(source, model_threshold, manifest, target)
        counts = [
            None if threshold is None else sum(score > threshold for score in part)
            for part in (anomalies, normals)
        ]
        found[source] = ClipDecisions(rule, threshold, len(anomalies), len(normals), *counts)
    return found


def decision_threshold(
    source: ThresholdSource, model_threshold: float | None, manifest: Manifest, target: str
) -> tuple[float | None, str | None]:
    """Return the score above which a clip is decided anomalous, and how it was determined.

    ``model``: the threshold that a window must exceed to count towards an alarm. ``gamma``: the
    rule of the challenge's baselines, the 90th percentile of a gamma distribution, here fitted to
    the scores of held-out normal windows in the model file; scores of training clips would be too
    low for models that memorise them.
    """
    calibration = manifest.calibrations.get(target)
    if source == "gamma":
        if calibration is None:
            return None, "the model file has no held-out scores to fit a gamma distribution to"
        count = min(calibration.count, MAX_GAMMA_SCORES)
        ranks = np.linspace(0, calibration.count - 1, count)
        scores = np.interp(ranks, calibration.ranks, calibration.scores)
        if scores[0] == scores[-1]:
            return None, "the held-out scores are all equal, so no gamma distribution fits them"
        found = gamma_threshold(scores, GAMMA_QUANTILE)
        return found.value, _describe_gamma(found, calibration.count)
    stored = manifest.thresholds.get(target)
    if stored is not None:
        return model_threshold, f"p = {stored.p:g} for a window of normal sound: {stored.rule}"
    if calibration is not None:
        return model_threshold, f"p = 0.001 for a window of normal sound: {calibration.rule}"
    return model_threshold, None


def _describe_gamma(threshold: GammaThreshold, count: int) -> str:
    windows = f"{count} held-out normal windows"
    if threshold.method == "gamma":
        return f"90th percentile of a gamma distribution fitted to {windows}"
    if np.isnan(threshold.gamma_flagged):
        reason = "because none fits the scores as they are"
    else:
        reason = f"because one of the scores as they are would flag {threshold.gamma_flagged:.0%}"
    if threshold.method == "standardised":
        return (
            f"90th percentile of a gamma distribution fitted to the standardised scores of "
            f"{windows}, {reason}"
        )
    return f"90th percentile of {windows} instead of a gamma distribution, {reason}"
