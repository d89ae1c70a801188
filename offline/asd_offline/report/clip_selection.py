"""Selection of the clips of a section that a report shows."""

from pathlib import Path

import numpy as np

from asd_offline.replay.records import ClipResult
from asd_offline.replay.results import SectionReplay

MAX_PICTURES = 72
"""Pictures of a report; at about 45 kB each, a report of a whole year stays below 5 MB."""
MAX_PICTURES_PER_SECTION = 4


def select_clips(section: SectionReplay, section_count: int) -> list[tuple[str, ClipResult]]:
    """Return descriptions and clips, the most informative first, no clip twice.

    Parameters
    ----------
    section
        Result of the section.
    section_count
        Number of sections that share the pictures of the report.
    """
    normal = _by_score(section, 0)
    anomalous = _by_score(section, 1)
    unlabelled = _by_score(section, None)
    candidates: list[tuple[str, ClipResult]] = []
    if anomalous:
        candidates.append(("lowest-scoring anomaly", anomalous[0]))
    if normal:
        candidates.append(("highest-scoring normal clip", normal[-1]))
        candidates.append(("typical normal clip", normal[len(normal) // 2]))
    if anomalous:
        candidates.append(("highest-scoring anomaly", anomalous[-1]))
    if unlabelled:
        candidates.append(("highest-scoring clip", unlabelled[-1]))
        candidates.append(("typical clip", unlabelled[len(unlabelled) // 2]))
    distinct: dict[Path, tuple[str, ClipResult]] = {}
    for description, result in candidates:
        distinct.setdefault(result.clip.path, (description, result))
    count = min(max(MAX_PICTURES // max(section_count, 1), 1), MAX_PICTURES_PER_SECTION)
    return list(distinct.values())[:count]


def _by_score(section: SectionReplay, label: int | None) -> list[ClipResult]:
    """Return the clips with a label, the lowest score first."""
    order = np.argsort(section.scores.score, kind="stable")
    return [result for index in order if (result := section.clips[index]).clip.label == label]
