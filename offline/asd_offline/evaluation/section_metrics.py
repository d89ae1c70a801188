"""Metrics of one section by a challenge's rules, from the scores of its clips."""

import numpy as np
from numpy.typing import NDArray

from asd_offline.evaluation.auc_interval import auc_interval
from asd_offline.evaluation.metrics import auc, confusion, pauc, precision_recall_f1
from asd_offline.evaluation.results import SectionMetrics, SectionResult
from asd_offline.evaluation.rules.scoring_rules import ScoringRules
from asd_offline.evaluation.section_scores import SectionScores

DOMAINS = ("source", "target")


def evaluate_section(
    rules: ScoringRules, section: str, clips: SectionScores, why_empty: str | None
) -> SectionResult:
    """Compute the metrics of a section.

    Parameters
    ----------
    rules
        Rules of the challenge.
    section
        Name of the section.
    clips
        Its test clips, possibly none.
    why_empty
        Reason to report if there are none.
    """
    count = len(clips.score)
    if count == 0:
        return SectionResult(section, 0, reason=why_empty or "no scores")
    overall = None if rules.domains == "separate" else _metrics(rules, clips, clips)
    interval = None
    if overall is not None and overall.auc is not None:
        normals, anomalies = (int(np.sum(clips.label == label)) for label in (0, 1))
        interval = auc_interval(overall.auc, normals, anomalies)
    if rules.domains == "none":
        reason = overall.reason if overall else None
        return SectionResult(section, count, overall, reason=reason, auc_ci95=interval)
    source, target = (_domain_metrics(rules, clips, domain, overall) for domain in DOMAINS)
    reasons = dict.fromkeys(row.reason for row in (overall, source, target) if row and row.reason)
    reason = "; ".join(reasons) or None
    return SectionResult(section, count, overall, source, target, reason, interval)


def domain_mask(rules: ScoringRules, clips: SectionScores, domain: str) -> NDArray[np.bool_]:
    """Return which clips the AUC of a domain is computed from, shape ``(clips,)``."""
    mask: NDArray[np.bool_] = clips.domain == domain
    return mask | (clips.label == 1) if rules.domains == "shared" else mask


def _domain_metrics(
    rules: ScoringRules, clips: SectionScores, domain: str, overall: SectionMetrics | None
) -> SectionMetrics:
    of_domain = clips.select(clips.domain == domain)
    if not np.any(of_domain.label != 1):
        lacking = "normal clips" if len(of_domain.label) else "clips"
        return SectionMetrics(reason=f"no {lacking} of the {domain} domain")
    return _metrics(rules, clips.select(domain_mask(rules, clips, domain)), of_domain, overall)


def _metrics(
    rules: ScoringRules,
    ranked: SectionScores,
    decided: SectionScores,
    overall: SectionMetrics | None = None,
) -> SectionMetrics:
    """Compute AUC and pAUC of ``ranked`` clips, and precision, recall and F1 of ``decided``.

    The pAUC is that of the whole section if ``overall`` is given.
    """
    reason = (overall.reason if overall else None) or _why_unusable(ranked)
    precision, recall, f1 = None, None, None
    if len(decided.score) and np.all(decided.decision >= 0) and np.all(decided.label >= 0):
        precision, recall, f1 = precision_recall_f1(confusion(decided.label, decided.decision))
    partial = overall.pauc if overall else None
    if reason:
        return SectionMetrics(None, partial, precision, recall, f1, reason)
    partial = pauc(ranked.label, ranked.score, rules.max_fpr) if partial is None else partial
    return SectionMetrics(auc(ranked.label, ranked.score), partial, precision, recall, f1)


def _why_unusable(clips: SectionScores) -> str | None:
    unlabelled = int(np.sum(clips.label < 0))
    if unlabelled:
        return f"{unlabelled} of {len(clips.label)} clips have no label (ground truth needed)"
    if not np.isfinite(clips.score).all():
        return f"{int(np.sum(~np.isfinite(clips.score)))} scores are not finite"
    for label, name in ((0, "normal"), (1, "anomalous")):
        if not np.any(clips.label == label):
            return f"no {name} clips"
    return None
