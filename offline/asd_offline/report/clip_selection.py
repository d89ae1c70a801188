"""Which clips of a section are worth looking at."""

from collections.abc import Sequence

from asd_offline.replay.results import ScoredClip, SectionReplay

PICTURES_AT_MOST = 72
"""Some 45 kB each: a report of a whole year stays below 5 MB."""
KINDS_AT_MOST = 4


def chosen_clips(section: SectionReplay, sections: int) -> list[tuple[str, ScoredClip]]:
    """Return what a clip stands for, and the clip; the most telling first.

    Parameters
    ----------
    section
        The section.
    sections
        How many sections share the pictures of a report.
    """
    normal = _by_score(section, 0)
    anomalous = _by_score(section, 1)
    unlabelled = _by_score(section, None)
    found: list[tuple[str, ScoredClip]] = []
    if anomalous:
        found.append(("lowest-scoring anomaly", anomalous[0]))
    if normal:
        found.append(("highest-scoring normal clip", normal[-1]))
        found.append(("typical normal clip", normal[len(normal) // 2]))
    if anomalous:
        found.append(("highest-scoring anomaly", anomalous[-1]))
    if unlabelled:
        found.append(("highest-scoring clip", unlabelled[-1]))
        found.append(("typical clip", unlabelled[len(unlabelled) // 2]))
    distinct: list[tuple[str, ScoredClip]] = []
    for kind, each in found:
        if all(each.clip.path != other.clip.path for _, other in distinct):
            distinct.append((kind, each))
    allowed = min(max(PICTURES_AT_MOST // max(sections, 1), 1), KINDS_AT_MOST)
    return distinct[:allowed]


def _by_score(section: SectionReplay, label: int | None) -> Sequence[ScoredClip]:
    return sorted((c for c in section.clips if c.clip.label == label), key=lambda c: c.score)
