"""The plots of one section: ROC curves and histograms of scores."""

from collections.abc import Sequence

import numpy as np

from asd_offline.evaluation.metrics import MAX_FPR, auc, roc_curve
from asd_offline.html.svg import Plot, round_ticks
from asd_offline.replay.results import ScoredClip, SectionReplay

BINS = 28
SHARE_TICKS = [(0.0, "0"), (0.5, "0.5"), (1.0, "1")]


def roc_chart(section: SectionReplay, rules: int) -> str:
    """Return the ROC curves of a section with the region of the pAUC and the threshold's point.

    A domain's curve is of the clips that its AUC is of in that year.
    """
    curves = [(kind, name, clips) for kind, name, clips in _curves(section, rules) if _both(clips)]
    if not curves:
        return ""
    plot = Plot((0, 1), (0, 1), label=f"ROC curve of {section.plan.name}")
    plot.box((0, MAX_FPR), (0, 1), "partial")
    plot.line([0, 1], [0, 1], "chance")
    for place, (kind, name, clips) in enumerate(curves):
        labels, scores = [c.clip.label or 0 for c in clips], [c.score for c in clips]
        curve = roc_curve(labels, scores)
        plot.line(curve.false_positive_rate.tolist(), curve.true_positive_rate.tolist(), kind)
        if section.threshold is not None:
            plot.dot(*_rates(clips, section.threshold), kind)
        height = 0.07 + 0.09 * (len(curves) - 1 - place)
        plot.line([0.42, 0.48], [height + 0.02] * 2, kind)
        plot.note(0.5, height, f"{name} AUC {auc(labels, scores):.3f}")
    plot.axes(SHARE_TICKS, SHARE_TICKS, "false-positive rate", "true-positive rate")
    return plot.svg()


def histograms(section: SectionReplay) -> list[tuple[str, str]]:
    """Return a histogram of normal and anomalous scores for each domain, with its name."""
    known = list(section.clips)
    if not known:
        return []
    scores = np.array([each.score for each in known])
    low, high = float(scores.min()), float(np.quantile(scores, 0.98))
    if section.threshold is not None:
        high = max(high, section.threshold + 0.1 * abs(section.threshold - low))
    if not high > low:
        high = low + 1.0
    edges = np.linspace(low, high, BINS + 1)
    domains = sorted({each.clip.domain for each in known})
    return [
        (domain, _histogram([c for c in known if c.clip.domain == domain], edges, section))
        for domain in domains
    ]


def _histogram(clips: Sequence[ScoredClip], edges: np.ndarray, section: SectionReplay) -> str:
    kinds = (("normal", 0), ("anomalous", 1), ("unlabelled", None))
    counts = {}
    for kind, label in kinds:
        scores = [each.score for each in clips if each.clip.label == label]
        inside = np.clip(scores, edges[0], edges[-1])  # the last bar holds all above it
        counts[kind] = np.histogram(inside, edges)[0]
    top = max(int(count.max(initial=0)) for count in counts.values()) or 1
    low, high = float(edges[0]), float(edges[-1])
    plot = Plot((low, high), (0, top * 1.08), label=f"Scores of {section.plan.name}")
    for kind, _ in kinds:
        for index in np.flatnonzero(counts[kind]):
            height = float(counts[kind][index])
            plot.box((float(edges[index]), float(edges[index + 1])), (0, height), f"bar {kind}")
    if section.threshold is not None and low <= section.threshold <= high:
        plot.line([section.threshold] * 2, [0, top * 1.08], "threshold")
    whole = [(value, text) for value, text in round_ticks(0, top, 4) if value == int(value)]
    plot.axes(round_ticks(low, high), whole, "anomaly score of a clip", "clips")
    return plot.svg()


def _curves(section: SectionReplay, rules: int) -> list[tuple[str, str, list[ScoredClip]]]:
    clips = [each for each in section.clips if each.clip.label is not None]
    if rules == 2020:
        return [("whole", "", clips)]
    found = [] if rules == 2021 else [("whole", "all", clips)]
    for domain in ("source", "target"):
        own = [
            each
            for each in clips
            if each.clip.domain == domain or (rules != 2021 and each.clip.label == 1)
        ]
        found.append((domain, domain, own))
    return found


def _both(clips: Sequence[ScoredClip]) -> bool:
    return {each.clip.label for each in clips} == {0, 1}


def _rates(clips: Sequence[ScoredClip], threshold: float) -> tuple[float, float]:
    above = {0: [0, 0], 1: [0, 0]}
    for each in clips:
        counts = above[each.clip.label or 0]
        counts[0] += each.score > threshold
        counts[1] += 1
    return above[0][0] / above[0][1], above[1][0] / above[1][1]
