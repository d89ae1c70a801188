"""Timelines: hours of normal sound with labelled faults, simulated or from recordings."""

from asd_offline.synth.timeline.make import TimelineResult, make_timelines
from asd_offline.synth.timeline.settings import (
    InjectedTimelines,
    SimulatedTimelines,
    TimelineSettings,
)

__all__ = [
    "InjectedTimelines",
    "SimulatedTimelines",
    "TimelineResult",
    "TimelineSettings",
    "make_timelines",
]
