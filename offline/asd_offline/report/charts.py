"""Charts of one section: ROC curves and score histograms."""

import numpy as np

from asd_offline.evaluation.metrics import auc, roc_curve
from asd_offline.evaluation.rules.scoring_rules import ScoringRules
from asd_offline.evaluation.section_metrics import DOMAINS, domain_mask
from asd_offline.evaluation.section_scores import SectionScores
from asd_offline.html.svg import Plot, round_ticks
from asd_offline.replay.results import SectionReplay

BINS = 28
RATE_TICKS = [(0.0, "0"), (0.5, "0.5"), (1.0, "1")]
LABELS = (("normal", 0), ("anomalous", 1), ("unlabelled", -1))


def draw_roc(section: SectionReplay, rules: ScoringRules) -> str:
    """Draw the ROC curves that a section's AUCs are the areas of; empty if there are none.

    Shaded is the region of the pAUC; a dot marks the rates at the threshold.
    """
    curves = [curve for curve in _curves(section.scores, rules) if {0, 1} <= {*curve[2].label}]
    if not curves:
        return ""
    plot = Plot((0, 1), (0, 1), label=f"ROC curve of {section.plan.name}")
    plot.add_box((0, rules.max_fpr), (0, 1), "partial")
    plot.add_line([0, 1], [0, 1], "chance")
    for index, (css_class, name, clips) in enumerate(curves):
        curve = roc_curve(clips.label, clips.score)
        rates = curve.false_positive_rate.tolist(), curve.true_positive_rate.tolist()
        plot.add_line(*rates, css_class)
        if section.threshold is not None:
            above = clips.score > section.threshold
            plot.add_dot(
                float(above[clips.label == 0].mean()),
                float(above[clips.label == 1].mean()),
                css_class,
            )
        height = 0.07 + 0.09 * (len(curves) - 1 - index)
        plot.add_line([0.42, 0.48], [height + 0.02] * 2, css_class)
        plot.add_text(0.5, height, f"{name} AUC {auc(clips.label, clips.score):.3f}".strip())
    plot.add_axes(RATE_TICKS, RATE_TICKS, "false positive rate", "true positive rate")
    return plot.to_svg()


def draw_histograms(section: SectionReplay) -> list[tuple[str, str]]:
    """Draw a histogram of scores by label for each domain; return names and drawings."""
    scores = section.scores
    if not len(scores.score):
        return []
    low, high = float(scores.score.min()), float(np.quantile(scores.score, 0.98))
    if section.threshold is not None:
        high = max(high, section.threshold + 0.1 * abs(section.threshold - low))
    if not high > low:
        high = low + 1.0
    edges = np.linspace(low, high, BINS + 1)
    return [
        (str(domain), _histogram(scores.select(scores.domain == domain), edges, section))
        for domain in np.unique(scores.domain)
    ]


def _histogram(clips: SectionScores, edges: np.ndarray, section: SectionReplay) -> str:
    low, high = float(edges[0]), float(edges[-1])
    counts = {
        name: np.histogram(np.clip(clips.score[clips.label == label], low, high), edges)[0]
        for name, label in LABELS
    }
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


def _curves(scores: SectionScores, rules: ScoringRules) -> list[tuple[str, str, SectionScores]]:
    """Return CSS class, name and clips of each curve, as the challenge's AUCs are defined."""
    labelled = scores.select(scores.label >= 0)
    if rules.domains == "none":
        return [("whole", "", labelled)]
    curves = [] if rules.domains == "separate" else [("whole", "all", labelled)]
    for domain in DOMAINS:
        curves.append((domain, domain, labelled.select(domain_mask(rules, labelled, domain))))
    return curves
