"""The figures of one section by each year's rules, from the scores of its clips."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_offline.evaluation.metrics import Floats, auc, confusion, pauc, precision_recall_f1
from asd_offline.evaluation.results import ClipScore, SectionMetrics, SectionResult

DOMAINS = ("source", "target")


@dataclass(frozen=True, slots=True)
class SectionClips:
    """Columns of one section, shape ``(clips,)``; label and decision are -1 where not known."""

    label: NDArray[np.int64]
    score: Floats
    domain: NDArray[np.str_]
    decision: NDArray[np.int64]

    def where(self, mask: NDArray[np.bool_]) -> "SectionClips":
        """Those clips for which ``mask`` is true."""
        return SectionClips(
            self.label[mask], self.score[mask], self.domain[mask], self.decision[mask]
        )


def section_clips(clips: Iterable[ClipScore], decisions: Mapping[str, int]) -> SectionClips:
    """Columns of clips; ``decisions`` by file name."""
    clips = list(clips)
    return SectionClips(
        np.array([-1 if clip.label is None else clip.label for clip in clips], dtype=np.int64),
        np.array([clip.score for clip in clips], dtype=np.float64),
        np.array([clip.domain for clip in clips], dtype=np.str_),
        np.array([decisions.get(clip.file_name, -1) for clip in clips], dtype=np.int64),
    )


def section_result(year: int, section: str, clips: SectionClips, why: str | None) -> SectionResult:
    """Metrics of a section by the year's rules; ``why`` is the reason if it has no clips."""
    count = len(clips.score)
    if count == 0:
        return SectionResult(section, 0, reason=why or "no scores")
    if year == 2020:
        whole = _roc(clips, clips)
        return SectionResult(section, count, whole=whole, reason=whole.reason)
    everything = None if year == 2021 else _roc(clips, clips)
    domains = {}
    for domain in DOMAINS:
        own = clips.where(clips.domain == domain)
        against = (
            own if year == 2021 else clips.where((clips.domain == domain) | (clips.label == 1))
        )
        if not np.any(own.label != 1):
            lacking = "normal clips" if len(own.label) else "clips"
            domains[domain] = SectionMetrics(reason=f"no {lacking} of the {domain} domain")
        else:
            domains[domain] = _roc(against, own, everything)
    found = (everything, domains["source"], domains["target"])
    wrong = list(dict.fromkeys(f.reason for f in found if f and f.reason))
    reason = "; ".join(wrong) or None
    return SectionResult(section, count, everything, domains["source"], domains["target"], reason)


def _roc(
    clips: SectionClips, own: SectionClips, whole: SectionMetrics | None = None
) -> SectionMetrics:
    """AUC of ``clips``, pAUC of them or of the whole section, decisions of the ``own`` ones."""
    reason = (whole.reason if whole else None) or _unusable(clips)
    decided = len(own.score) > 0 and bool(np.all(own.decision >= 0) and np.all(own.label >= 0))
    precision, recall, f1 = None, None, None
    if decided:
        precision, recall, f1 = precision_recall_f1(confusion(own.label, own.decision))
    partial = whole.pauc if whole else None
    if reason:
        return SectionMetrics(None, partial, precision, recall, f1, reason)
    partial = pauc(clips.label, clips.score) if partial is None else partial
    return SectionMetrics(auc(clips.label, clips.score), partial, precision, recall, f1)


def _unusable(clips: SectionClips) -> str | None:
    unlabelled = int(np.sum(clips.label < 0))
    if unlabelled:
        return f"{unlabelled} of {len(clips.label)} clips have no label (ground truth needed)"
    if not np.isfinite(clips.score).all():
        return f"{int(np.sum(~np.isfinite(clips.score)))} scores are not finite"
    for label, name in ((0, "normal"), (1, "anomalous")):
        if not np.any(clips.label == label):
            return f"no {name} clips"
    return None


def score_parts(year: int, section: SectionResult) -> list[float | None]:
    """The figures of a section that enter the official score."""
    whole, source, target = section.figures
    if year == 2020:
        return [whole.auc, whole.pauc]
    if year == 2021:
        return [source.auc, source.pauc, target.auc, target.pauc]
    return [source.auc, target.auc, whole.pauc]
