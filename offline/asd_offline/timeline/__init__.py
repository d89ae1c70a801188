"""Timelines: long labelled streams, played through the live path; false alarms and detections."""

from asd_offline.timeline.run import TimelineSettings, replay_timelines

__all__ = ["TimelineSettings", "replay_timelines"]
