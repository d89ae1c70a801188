"""Replay: a dataset through the windows, detector and alarm of the live monitor."""

from asd_offline.replay.collect import Replayed, ScoredClip, SectionReplay
from asd_offline.replay.run import Progress, ReplaySettings, replay

__all__ = ["Progress", "ReplaySettings", "Replayed", "ScoredClip", "SectionReplay", "replay"]
