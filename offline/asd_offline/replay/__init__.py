"""Replay: a dataset through the windows, detector and alarm of the live monitor."""

from asd_offline.replay.records import ClipResult
from asd_offline.replay.results import ReplayResult, SectionReplay
from asd_offline.replay.run import ReplaySettings, ReportWriter, replay

__all__ = [
    "ClipResult",
    "ReplayResult",
    "ReplaySettings",
    "ReportWriter",
    "SectionReplay",
    "replay",
]
