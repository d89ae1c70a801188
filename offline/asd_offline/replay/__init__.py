"""Replay: a dataset through the windows, detector and alarm of the live monitor."""

from asd_offline.replay.results import ReplayResult, ScoredClip, SectionReplay
from asd_offline.replay.run import ReplaySettings, ReportWriter, replay

__all__ = [
    "ReplayResult",
    "ReplaySettings",
    "ReportWriter",
    "ScoredClip",
    "SectionReplay",
    "replay",
]
