"""Charts of one section: ROC curves and score histograms."""

from collections.abc import Sequence

import numpy as np

from asd_offline.evaluation.metrics import MAX_FPR, auc, roc_curve
from asd_offline.evaluation.rules.scoring_rules import ScoringRules
from asd_offline.html.svg import Plot, round_ticks
from asd_offline.replay.results import ClipResult, SectionReplay

BINS = 28
RATE_TICKS = [(0.0, "0"), (0.5, "0.5"), (1.0, "1")]
LABELS = (("normal", 0), ("anomalous", 1), ("unlabelled", None))


def draw_roc(section: SectionReplay, rules: ScoringRules) -> str:
    """Draw the ROC curves that a section's AUCs are the areas of; empty if there are none.

    Shaded is the region of the pAUC; a dot marks the rates at the threshold.
    """
    curves = [curve for curve in _curves(section, rules) if _has_both_labels(curve[2])]
    if not curves:
        return ""
    plot = Plot((0, 1), (0, 1), label=f"ROC curve of {section.plan.name}")
    plot.add_box((0, MAX_FPR), (0, 1), "partial")
    plot.add_line([0, 1], [0, 1], "chance")
    for index, (css_class, name, clips) in enumerate(curves):
        labels = [result.clip.label or 0 for result in clips]
        scores = [result.value for result in clips]
        curve = roc_curve(labels, scores)
        rates = curve.false_positive_rate.tolist(), curve.true_positive_rate.tolist()
        plot.add_line(*rates, css_class)
        if section.threshold is not None:
            plot.add_dot(*_rates_above(clips, section.threshold), css_class)
        height = 0.07 + 0.09 * (len(curves) - 1 - index)
        plot.add_line([0.42, 0.48], [height + 0.02] * 2, css_class)
        plot.add_text(0.5, height, f"{name} AUC {auc(labels, scores):.3f}".strip())
    plot.add_axes(RATE_TICKS, RATE_TICKS, "false positive rate", "true positive rate")
    return plot.to_svg()


def draw_histograms(section: SectionReplay) -> list[tuple[str, str]]:
    """Draw a histogram of scores by label for each domain; return names and drawings."""
    if not section.clips:
        return []
    scores = np.array([result.value for result in section.clips])
    low, high = float(scores.min()), float(np.quantile(scores, 0.98))
    if section.threshold is not None:
        high = max(high, section.threshold + 0.1 * abs(section.threshold - low))
    if not high > low:
        high = low + 1.0
    edges = np.linspace(low, high, BINS + 1)
    return [
        (domain, _histogram(clips, edges, section)) for domain, clips in section.by_domain().items()
    ]


def _histogram(clips: Sequence[ClipResult], edges: np.ndarray, section: SectionReplay) -> str:
    low, high = float(edges[0]), float(edges[-1])
    counts = {}
    for name, label in LABELS:
        scores = [result.value for result in clips if result.clip.label == label]
        counts[name] = np.histogram(np.clip(scores, low, high), edges)[0]
    highest = max(int(count.max(initial=0)) for count in counts.values()) or 1
    top = 1.08 * highest
    plot = Plot((low, high), (0, top), label=f"Scores of {section.plan.name}")
    for name, count in counts.items():
        for index in np.flatnonzero(count):
            bin_edges = (float(edges[index]), float(edges[index + 1]))
            plot.add_box(bin_edges, (0, float(count[index])), f"bar {name}")
    if section.threshold is not None and low <= section.threshold <= high:
        plot.add_line([section.threshold] * 2, [0, top], "threshold")
    count_ticks = [tick for tick in round_ticks(0, highest, 4) if tick[0] == int(tick[0])]
    plot.add_axes(round_ticks(low, high), count_ticks, "anomaly score of a clip", "clips")
    return plot.to_svg()


def _curves(section: SectionReplay, rules: ScoringRules) -> list[tuple[str, str, list[ClipResult]]]:
    """Return CSS class, name and clips of each curve, as the challenge's AUCs are defined."""
    clips = [result for result in section.clips if result.clip.label is not None]
    if rules.domains == "none":
        return [("whole", "", clips)]
    curves = [] if rules.domains == "separate" else [("whole", "all", clips)]
    for domain in ("source", "target"):
        compared = [
            result
            for result in clips
            if result.clip.domain == domain
            or (rules.domains == "shared" and result.clip.label == 1)
        ]
        curves.append((domain, domain, compared))
    return curves


def _has_both_labels(clips: Sequence[ClipResult]) -> bool:
    return {result.clip.label for result in clips} == {0, 1}


def _rates_above(clips: Sequence[ClipResult], threshold: float) -> tuple[float, float]:
    """Return the false and the true positive rate at a threshold."""
    normal = [result.value > threshold for result in clips if result.clip.label == 0]
    anomalous = [result.value > threshold for result in clips if result.clip.label == 1]
    return sum(normal) / len(normal), sum(anomalous) / len(anomalous)
