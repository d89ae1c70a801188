"""Threads and supervision of the monitor, with sources driven by the test."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from asd_monitor.detection.alarm import Alarm
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.detector import Detector
from asd_monitor.errors import SinkError
from asd_monitor.model_file import load
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_monitor.records import (
    Quality,
    Record,
    ScoredWindow,
    SourceHealth,
    SourceState,
    State,
    Transition,
    Window,
    WindowScore,
)
from asd_monitor.runtime.commissioning import Commissioning, FittedModel
from asd_monitor.runtime.monitor import Monitor
from asd_monitor.runtime.pipeline import Pipeline
from asd_monitor.runtime.recording_store import RecordingStore
from asd_monitor.sinks import Sink
from asd_monitor.telemetry.metrics import Metrics
from asd_monitor.telemetry.status import StatusTracker
from tests.rig.played_source import PlayedSource
from tests.rig.toy_model import RATE_HZ, WINDOW_SAMPLES, noise, rules_of, save_toy

SETTINGS = AlarmSettings(min_duration_s=0.1, hold_s=0.0)
LOUD_DBFS = -6.0


class Collector:
    """A sink that keeps all records."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.closed = 0

    def open(self) -> None: ...

    def emit(self, record: Record) -> None:
        self.records.append(record)

    def close(self) -> None:
        self.closed += 1

    def windows(self, machine: str = "pump") -> list[ScoredWindow]:
        records = list(self.records)
        return [r for r in records if isinstance(r, ScoredWindow) and r.machine == machine]

    def scores(self, machine: str = "pump") -> list[WindowScore]:
        return [window.score for window in self.windows(machine)]

    def states(self, machine: str = "pump") -> list[State]:
        records = list(self.records)
        return [r.state for r in records if isinstance(r, Transition) and r.machine == machine]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    path = tmp_path_factory.mktemp("model") / "toy.asd"
    return load(save_toy(path, {"hop_samples": WINDOW_SAMPLES}), "cpu")


class Rig:
    """A monitor of some machines, each with a played source and the toy model."""

    def __init__(
        self,
        model: LoadedModel,
        machines: Sequence[str] = ("pump",),
        *,
        sinks: Sequence[Sink] = (),
        detector: Detector | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        workers: int = 1,
    ) -> None:
        self.sink = Collector()
        self.metrics = Metrics(CollectorRegistry())
        self.metrics.add_machines(machines)
        self.sources = {name: PlayedSource(name) for name in machines}
        self.monitor = Monitor(self.metrics, monotonic=monotonic, workers=workers)
        for sink in [*sinks, self.sink]:
            self.monitor.add_sink(sink)
        detector = detector or Detector(model, rules_of(model, dict.fromkeys(machines, "pump")))
        for name in machines:
            pipeline = Pipeline(
                name,
                self.sources[name],
                Alarm(name, SETTINGS, "run"),
                emit=self.monitor.emit,
                metrics=self.metrics,
                drop_late=True,
            )
            self.monitor.add_pipeline(pipeline)
            self.monitor.install(name, detector)

    def windows(self, result: str, machine: str = "pump") -> float:
        labels = {"machine": machine, "result": result}
        return self.metrics.registry.get_sample_value("asd_windows_total", labels) or 0.0


@pytest.fixture
def rig(model: LoadedModel) -> Iterator[Rig]:
    rig = Rig(model)
    rig.monitor.start()
    yield rig
    rig.monitor.stop()


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline, f"timed out waiting for: {what}"
        time.sleep(0.01)


def wait_for_scores(rig: Rig, count: int) -> None:
    wait_for(lambda: len(rig.sink.scores()) == count, f"{count} scores")


def sound(windows: int, level_dbfs: float = -26.0, seed: int = 0) -> np.ndarray:
    return noise(windows, level_dbfs, seed).ravel()


def test_audio_becomes_scores_in_order(rig: Rig) -> None:
    for index in range(3):
        rig.sources["pump"].play(sound(1, seed=index))
        wait_for_scores(rig, index + 1)
    scores = rig.sink.scores()
    assert [score.window_start for score in scores] == [i * WINDOW_SAMPLES for i in range(3)]
    assert [score.seq for score in scores] == [0, 1, 2]
    assert {window.decision.state for window in rig.sink.windows()} == {State.NORMAL}


@pytest.mark.parametrize(("takes_s", "grouped"), [(0.0, True), (0.1, False)])
def test_results_of_several_models_are_emitted_together_unless_a_model_is_slow(
    model: LoadedModel, takes_s: float, grouped: bool
) -> None:
    now, log, release = [0.0], list[str](), threading.Event()

    class NotingDetector(Detector):
        def begin(self, windows: Sequence[Window]) -> Callable[[], list[WindowScore]]:
            log.append(f"score {windows[0].machine}")
            if windows[0].machine == "pump":
                release.wait(400)
            now[0] += takes_s
            return super().begin(windows)

    class NotingSink(Collector):
        def emit(self, record: Record) -> None:
            if isinstance(record, ScoredWindow):
                log.append(f"emit {record.machine}")

    machines = ("pump", "fan", "valve")
    rig = Rig(model, machines, sinks=[NotingSink()], monotonic=lambda: now[0])
    for name in machines:
        rig.monitor.install(name, NotingDetector(model, rules_of(model, {name: "pump"})))
    rig.monitor.start()
    rig.sources["pump"].play(sound(1))
    wait_for(lambda: log == ["score pump"], "the first model running")
    for name in ("fan", "valve"):  # in one round, after it
        rig.sources[name].play(sound(1))
    release.set()
    wait_for(lambda: len(log) == 6, "three results")
    rig.monitor.stop()
    scores, results = ["score fan", "score valve"], ["emit fan", "emit valve"]
    one_by_one = ["score fan", "emit fan", "score valve", "emit valve"]
    assert log[2:] == (scores + results if grouped else one_by_one)


def test_an_alarm_is_raised_and_cleared(rig: Rig) -> None:
    for count, level_dbfs in enumerate((-26.0, *[LOUD_DBFS] * 3, -26.0, -26.0), start=1):
        rig.sources["pump"].play(sound(1, level_dbfs))
        wait_for_scores(rig, count)
    wait_for(lambda: len(rig.sink.states()) == 5, "five states")
    assert rig.sink.states() == [
        State.UNKNOWN, State.NORMAL, State.WARNING, State.ALARM, State.NORMAL,
    ]  # fmt: skip


def test_the_initial_state_is_the_first_record_of_a_machine(rig: Rig) -> None:
    first = rig.sink.records[0]
    assert isinstance(first, Transition)
    assert (first.state, first.previous) == (State.UNKNOWN, State.UNKNOWN)


@pytest.mark.parametrize(
    "state", [SourceState.MISSING, SourceState.FROZEN, SourceState.SILENT, SourceState.OPENING]
)
def test_a_machine_without_audio_is_unknown(rig: Rig, state: SourceState) -> None:
    rig.sources["pump"].play(sound(1))
    wait_for(lambda: rig.sink.states()[-1] is State.NORMAL, "NORMAL")
    rig.sources["pump"].set_state(state, "the cable is cut")
    wait_for(lambda: rig.sink.states()[-1] is State.UNKNOWN, "UNKNOWN")
    wait_for(
        lambda: [r for r in rig.sink.records if isinstance(r, SourceHealth) and r.state is state],
        "the source's health",
    )
    rig.sources["pump"].set_state(SourceState.RUNNING)
    rig.sources["pump"].play(sound(1), after_gap=100)
    wait_for(lambda: rig.sink.states()[-1] is State.NORMAL, "NORMAL again")


def test_lost_audio_makes_the_state_unknown_until_the_next_window(rig: Rig) -> None:
    rig.sources["pump"].play(sound(1))
    wait_for(lambda: rig.sink.states()[-1] is State.NORMAL, "NORMAL")
    rig.sources["pump"].play(sound(1)[:10], after_gap=77)
    wait_for(lambda: rig.sink.states()[-1] is State.UNKNOWN, "UNKNOWN")
    rig.sources["pump"].play(sound(1)[10:])
    wait_for_scores(rig, 2)
    assert rig.sink.scores()[-1].lost_samples == 77
    assert rig.sink.states()[-1] is State.NORMAL


def test_the_source_is_informed_where_windows_end_at_first_and_after_a_gap(rig: Rig) -> None:
    source = rig.sources["pump"]
    for count in (1, 2):
        source.play(sound(1))
        wait_for_scores(rig, count)
    source.play(sound(1), after_gap=77)
    wait_for_scores(rig, 3)
    first, second = 2 * WINDOW_SAMPLES, 4 * WINDOW_SAMPLES + 77
    assert source.expected == [(first, WINDOW_SAMPLES), (second, WINDOW_SAMPLES)]


def test_unusable_sound_is_reported_and_never_normal(rig: Rig) -> None:
    rig.sources["pump"].play(np.full(WINDOW_SAMPLES, np.nan, np.float32))
    wait_for(lambda: rig.sink.windows(), "a record of the window")
    (window,) = rig.sink.windows()
    assert (window.score.quality, window.score.value) == (Quality.NON_FINITE, None)
    assert window.decision.state is State.UNKNOWN


def test_the_oldest_windows_are_dropped_when_scoring_is_too_slow(model: LoadedModel) -> None:
    rig = Rig(model)
    allowed = 60  # six seconds of windows of 0.1 s
    rig.sources["pump"].play(sound(allowed + 10))
    rig.monitor.start()
    wait_for(lambda: rig.sink.scores(), "scores")
    rig.monitor.stop()
    assert len(rig.sink.scores()) == allowed
    assert rig.windows("late") == 10
    assert rig.sink.scores()[-1].window_start == (allowed + 9) * WINDOW_SAMPLES


def test_windows_of_one_model_are_scored_together_for_their_machines(
    model: LoadedModel,
) -> None:
    machines = ("pump", "pump-2", "pump-3")
    rig = Rig(model, machines)
    rig.sources["pump-2"].play(sound(3, LOUD_DBFS))
    rig.sources["pump"].play(sound(2))
    rig.sources["pump-3"].play(sound(1))
    rig.monitor.start()
    expected = {"pump": State.NORMAL, "pump-2": State.ALARM, "pump-3": State.NORMAL}
    wait_for(lambda: {name: rig.sink.states(name)[-1] for name in machines} == expected, "states")
    rig.monitor.stop()
    assert {rig.sink.states(name)[-1] for name in machines} == {State.UNKNOWN}


def test_audio_delivered_before_the_stop_is_still_scored(model: LoadedModel) -> None:
    rig = Rig(model)
    rig.monitor.start()
    rig.sources["pump"].play(sound(2))
    rig.monitor.stop()
    assert len(rig.sink.scores()) == 2
    assert rig.sources["pump"].closed
    assert rig.sink.closed


class BrokenSink(Collector):
    def emit(self, record: Record) -> None:
        raise RuntimeError("out of paper")


def test_a_broken_sink_is_counted_and_stops_nothing(model: LoadedModel) -> None:
    rig = Rig(model, sinks=[BrokenSink()])
    rig.monitor.start()
    rig.sources["pump"].play(sound(1))
    wait_for(lambda: rig.sink.scores(), "a score at the other sink")
    rig.monitor.stop()
    broken = rig.metrics.registry.get_sample_value("asd_sink_errors_total", {"sink": "BrokenSink"})
    assert broken
    assert broken >= 2


class RefusedSink(Collector):
    def open(self) -> None:
        raise SinkError("the port is taken")


def test_a_sink_with_unusable_settings_prevents_the_start(model: LoadedModel) -> None:
    monitor = Rig(model, sinks=[RefusedSink()]).monitor
    with pytest.raises(SinkError, match="the port is taken"):
        monitor.start()
    monitor.stop()


class BrokenDetector(Detector):
    def begin(self, windows: object) -> Callable[[], list[WindowScore]]:
        raise KeyError("an internal error")


def test_an_internal_error_ends_the_run(model: LoadedModel) -> None:
    rig = Rig(model)
    rig.monitor.start()
    rig.monitor.install("pump", BrokenDetector(model, rules_of(model, {"pump": "pump"})))
    wait_for(lambda: not rig.monitor._requests._waiting, "the new model taken")
    rig.sources["pump"].play(sound(1))
    with pytest.raises(RuntimeError, match="an internal error"):
        rig.monitor.wait(400)
    rig.monitor.stop()


def test_the_end_of_all_recordings_ends_the_run(rig: Rig) -> None:
    assert not rig.monitor.wait(0.0)
    rig.sources["pump"].set_state(SourceState.ENDED)
    assert rig.monitor.wait(400)


def test_a_pipeline_is_not_alive_when_it_does_not_consume_its_audio(
    model: LoadedModel,
) -> None:
    now = [0.0]
    source = PlayedSource()
    pipeline = Pipeline(
        "pump",
        source,
        Alarm("pump", SETTINGS, "run"),
        emit=lambda _: None,
        metrics=Metrics(CollectorRegistry()),
        drop_late=True,
        monotonic=lambda: now[0],
    )
    pipeline.set_detector(Detector(model, rules_of(model, {"pump": "pump"})))
    source.set_state(SourceState.RUNNING)
    pipeline.check_source()
    assert pipeline.is_alive()
    now[0] = 10.05  # a window of 0.1 s and 10 s of grace
    assert pipeline.is_alive()
    now[0] = 10.15
    assert not pipeline.is_alive()
    source.set_state(SourceState.MISSING)
    pipeline.check_source()
    assert pipeline.is_alive()


def test_rejected_sound_is_the_reason_in_health_and_status(tmp_path: Path) -> None:
    sink = Collector()
    tracker = StatusTracker(["pump"])
    monitor = Monitor(Metrics(CollectorRegistry()))
    source = PlayedSource()
    pipeline = Pipeline(
        "pump",
        source,
        Alarm("pump", SETTINGS, "run"),
        emit=monitor.emit,
        metrics=Metrics(CollectorRegistry()),
        drop_late=True,
    )
    for receiver in (tracker, sink):
        monitor.add_sink(receiver)
    monitor.add_pipeline(pipeline)
    store = RecordingStore("pump", tmp_path, RATE_HZ, session="now")
    monitor.learn("pump", Commissioning("pump", store, 60.0, fit=_never, on_result=print))
    monitor.start()
    try:
        source.play(np.clip(sound(101, 20.0), -1, 1).astype(np.float32))
        wait_for(lambda: "gain" in tracker.snapshot().machines["pump"].reason, "the reason")
    finally:
        monitor.stop()
    healths = [record for record in sink.records if isinstance(record, SourceHealth)]
    assert any("overdriven" in health.reason for health in healths)
    status = tracker.snapshot().machines["pump"]
    assert status.state is State.LEARNING
    assert "reduce the gain" in status.reason


class EndingCommissioning(Pipeline):
    """A pipeline whose commissioning ends just after another thread has read the attribute."""

    _ending: Commissioning | None = None

    @property
    def commissioning(self) -> Commissioning | None:
        commissioning, self._ending = self._ending, None
        return commissioning

    @commissioning.setter
    def commissioning(self, commissioning: Commissioning | None) -> None:
        self._ending = commissioning


def test_is_alive_can_be_called_while_commissioning_ends(tmp_path: Path) -> None:
    pipeline = EndingCommissioning(
        "pump",
        PlayedSource(),
        Alarm("pump", SETTINGS, "run"),
        emit=lambda _: None,
        metrics=Metrics(CollectorRegistry()),
        drop_late=True,
    )
    store = RecordingStore("pump", tmp_path, RATE_HZ, session="now")
    learning = partial(Commissioning, "pump", store, 60.0, fit=_never, on_result=print)
    pipeline.commissioning = learning()
    assert pipeline.is_alive()
    pipeline.commissioning = learning()
    monitor = Monitor(Metrics(CollectorRegistry()))
    monitor.add_pipeline(pipeline)
    monitor.stop()


def _never(*_: object) -> FittedModel:
    raise AssertionError("there is too little sound for a fit")


@pytest.mark.parametrize("workers", [1, 2])
def test_the_monitor_is_not_alive_while_a_model_hangs_in_any_thread(
    model: LoadedModel, workers: int
) -> None:
    release = threading.Event()

    class HangingDetector(Detector):
        def begin(self, windows: Sequence[Window]) -> Callable[[], list[WindowScore]]:
            release.wait(400)
            return super().begin(windows)

    now, machines = [0.0], ("pump", "fan", "valve")
    rig = Rig(model, machines, monotonic=lambda: now[0], workers=workers)
    monitor = rig.monitor
    for name in machines:
        kind = HangingDetector if name == "fan" else Detector
        monitor.install(name, kind(model, rules_of(model, {name: "pump"})))
        rig.sources[name].play(sound(1))
    monitor.start()
    wait_for(lambda: not any(rig.sources[name]._chunks for name in machines), "the audio taken")
    now[0] = 14.9
    assert monitor.is_alive()
    now[0] = 15.1
    assert not monitor.is_alive()
    release.set()
    wait_for(lambda: all(rig.sink.scores(name) for name in machines), "the scores")
    monitor.stop()
    assert not [each for each in threading.enumerate() if each.name.startswith("inference")]
