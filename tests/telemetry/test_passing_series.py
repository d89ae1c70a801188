"""Passing sounds are counted once each, by kind."""

from dataclasses import replace

from prometheus_client import CollectorRegistry

from asd_monitor.records import PassingSound, State
from asd_monitor.telemetry.metrics import Metrics
from tests.rig.records import scored_window


def test_a_passing_sound_is_counted_once() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.add_machines(["pump"])
    speech = PassingSound.SPEECH
    for passing in (None, speech, speech, None, speech):
        window = scored_window()
        decision = replace(window.decision, state=State.NORMAL, passing=passing)
        metrics.observe_window(replace(window, decision=decision))

    def value(kind: str) -> float | None:
        labels = {"machine": "pump", "kind": kind}
        return registry.get_sample_value("asd_passing_sounds_total", labels)

    assert value("speech") == 2
    assert value("impact") == 0
