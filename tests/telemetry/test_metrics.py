"""Prometheus series: present from the start, few, well named, and documented."""

import re
from dataclasses import replace
from math import isnan

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from asd_monitor.records import LearningProgress, Quality, Rejection, SourceState, State
from asd_monitor.sinks.prometheus.settings import PrometheusSettings
from asd_monitor.sinks.prometheus.sink import PrometheusSink
from asd_monitor.telemetry.metrics import QUEUES, USUAL_RESULTS, Metrics
from tests.rig.metrics_scenario import MACHINES, emit_round, emit_unplugged
from tests.rig.paths import DOCS
from tests.rig.prometheus import promtool
from tests.rig.records import MODEL, event, health, scored_window

METRICS_DOC = DOCS / "metrics.md"


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics(CollectorRegistry())
    metrics.add_machines(MACHINES)
    return metrics


@pytest.fixture
def sink(metrics: Metrics) -> PrometheusSink:
    return PrometheusSink(PrometheusSettings(), metrics)


def value(metrics: Metrics, name: str, **labels: str) -> float:
    sample = metrics.registry.get_sample_value(name, labels)
    assert sample is not None, f"{name}{labels} does not exist"
    return sample


def series_of(metrics: Metrics, machine: str) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if sample.labels.get("machine") == machine and not sample.name.endswith("_created")
    }


def test_most_series_exist_before_the_first_record_and_rare_ones_when_they_occur(
    metrics: Metrics, sink: PrometheusSink
) -> None:
    before = series_of(metrics, "pump")
    emit_round(sink)
    new = series_of(metrics, "pump") - before
    assert {name for name, _ in new} == {
        "asd_model_info", "asd_windows_total", "asd_learning_rejected_seconds_total",
    }  # fmt: skip
    results = {dict(labels)["result"] for name, labels in new if name == "asd_windows_total"}
    assert results == {"silent", "stuck", "clipped"}


def test_counters_and_states_start_at_zero_and_measurements_at_nan(metrics: Metrics) -> None:
    for result in USUAL_RESULTS:
        assert value(metrics, "asd_windows_total", machine="pump", result=result) == 0
    for name in ("asd_alarms_total", "asd_audio_lost_samples_total", "asd_source_up"):
        assert value(metrics, name, machine="pump") == 0
    for name in ("asd_anomaly_score", "asd_p_value", "asd_score_threshold"):
        assert isnan(value(metrics, name, machine="pump"))
    for queue in QUEUES:
        assert value(metrics, "asd_dropped_total", queue=queue) == 0
    assert isnan(value(metrics, "asd_mqtt_connected"))


def test_a_machine_has_at_most_50_series_without_what_occurs_rarely(metrics: Metrics) -> None:
    metrics.observe_window(scored_window(0))
    metrics.mode.labels("pump", "running")
    assert len(series_of(metrics, "pump")) <= 50


def test_a_machine_with_everything_that_can_occur_has_at_most_66_series(metrics: Metrics) -> None:
    metrics.observe_window(scored_window(0))
    metrics.mode.labels("pump", "running")
    for quality in Quality:
        metrics.observe_window(scored_window(1, quality=quality))
    metrics.observe_learning(LearningProgress("pump", learned_s=42.0, required_s=300.0))
    assert 50 < len(series_of(metrics, "pump")) <= 66


def test_the_series_of_a_machine_do_not_grow_with_time_or_models(
    metrics: Metrics, sink: PrometheusSink
) -> None:
    emit_round(sink)
    before = len(series_of(metrics, "pump"))
    for number in range(1, 20):
        emit_round(sink, number)
        newer = replace(MODEL, sha256=f"{number:064x}")
        sink.emit(scored_window(number, model=newer))
    assert len(series_of(metrics, "pump")) == before


def test_promtool_reports_no_problems(metrics: Metrics, sink: PrometheusSink) -> None:
    emit_round(sink)
    done = promtool("check", "metrics", stdin=generate_latest(metrics.registry))
    assert done.returncode == 0, done.stdout
    assert done.stdout.strip() == ""


def test_promtool_reports_a_bad_name() -> None:
    done = promtool(
        "check", "metrics", stdin=b"# TYPE latency_milliseconds counter\nlatency_milliseconds 1\n"
    )
    assert done.returncode != 0


def test_windows_are_counted_by_result(metrics: Metrics, sink: PrometheusSink) -> None:
    emit_round(sink)
    counts = {
        sample.labels["result"]: sample.value
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "asd_windows_total" and sample.labels["machine"] == "pump"
    }
    assert counts == {"scored": 7.0, "late": 0.0, "silent": 1.0, "stuck": 1.0, "clipped": 1.0}


def test_a_window_without_a_score_clears_the_old_score(metrics: Metrics) -> None:
    metrics.observe_window(scored_window(0))
    assert value(metrics, "asd_anomaly_score", machine="pump") == 1.25
    metrics.observe_window(
        scored_window(1, quality=Quality.SILENT, value=None, p_value=None, level_dbfs=None)
    )
    for name in ("asd_anomaly_score", "asd_p_value", "asd_audio_level_dbfs"):
        assert isnan(value(metrics, name, machine="pump"))


def test_a_machine_without_audio_has_no_score(metrics: Metrics, sink: PrometheusSink) -> None:
    emit_round(sink)
    emit_unplugged(sink, "pump")
    assert isnan(value(metrics, "asd_anomaly_score", machine="pump"))
    assert value(metrics, "asd_alarm_state", machine="pump") == 0
    assert value(metrics, "asd_source_up", machine="pump") == 0
    assert value(metrics, "asd_source_state", machine="pump", state="missing") == 1
    assert value(metrics, "asd_anomaly_score", machine="fan/id_00") == 3.0


@pytest.mark.parametrize("state", list(State))
def test_exactly_one_state_is_set(metrics: Metrics, state: State) -> None:
    metrics.observe_transition(event("1", state))
    values = {other: value(metrics, "asd_state", machine="pump", state=other) for other in State}
    assert values == {other: float(other is state) for other in State}
    assert value(metrics, "asd_alarm_state", machine="pump") == float(state is State.ALARM)


def test_an_alarm_is_counted_once_when_it_is_raised(metrics: Metrics) -> None:
    metrics.observe_transition(event("1"))
    metrics.observe_transition(replace(event("1"), previous=State.ALARM))
    metrics.observe_transition(replace(event("2", State.NORMAL), previous=State.ALARM))
    assert value(metrics, "asd_alarms_total", machine="pump") == 1


def test_running_totals_of_the_health_become_counters(metrics: Metrics) -> None:
    for samples, lost in ((16000, 0), (32000, 480), (32000, 480), (48000, 500)):
        metrics.source.observe(replace(health(samples=samples), lost_samples=lost, reopens=2))
    assert value(metrics, "asd_audio_samples_total", machine="pump") == 48000
    assert value(metrics, "asd_audio_lost_samples_total", machine="pump") == 500
    assert value(metrics, "asd_source_restarts_total", machine="pump") == 2


@pytest.mark.parametrize("state", list(SourceState))
def test_a_source_is_up_only_while_it_runs(metrics: Metrics, state: SourceState) -> None:
    metrics.source.observe(health(state))
    running = float(state is SourceState.RUNNING)
    assert value(metrics, "asd_source_up", machine="pump") == running
    assert value(metrics, "asd_source_state", machine="pump", state=str(state)) == 1


def test_learning_is_reported_with_its_target(metrics: Metrics) -> None:
    metrics.observe_learning(LearningProgress("pump", learned_s=42.0, required_s=300.0))
    assert value(metrics, "asd_learned_seconds", machine="pump") == 42
    assert value(metrics, "asd_learning_target_seconds", machine="pump") == 300


def test_rejected_sound_is_counted_by_reason(metrics: Metrics) -> None:
    for seconds in (10.0, 30.0, 30.0):
        rejected_s = {Rejection.CLIPPED: seconds}
        metrics.observe_learning(LearningProgress("pump", 0.0, 300.0, rejected_s=rejected_s))
    name = "asd_learning_rejected_seconds_total"
    assert value(metrics, name, machine="pump", reason="clipped") == 30.0
    assert value(metrics, name, machine="pump", reason="dc") == 0.0


def test_the_documentation_lists_every_series_with_its_help_text(
    metrics: Metrics, sink: PrometheusSink
) -> None:
    emit_round(sink)
    metrics.sink_errors.labels("mqtt")
    metrics.mode.labels("pump", "running")
    registered = set()
    for metric in metrics.registry.collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        labels = {label for sample in metric.samples for label in sample.labels} - {"le"}
        registered.add((name, frozenset(labels), metric.type, metric.documentation))
    assert documented() == registered


def documented() -> set[tuple[str, frozenset[str], str, str]]:
    entry = r"^- `(asd_\w+)(?:\{([\w,]+)\})?` \((\w+)\):\n  (.+(?:\n  .+)*)$"
    return {
        (name, frozenset(filter(None, labels.split(","))), kind, " ".join(meaning.split()))
        for name, labels, kind, meaning in re.findall(entry, METRICS_DOC.read_text(), re.M)
    }


def test_an_open_event_has_a_series_with_its_url_until_it_ends(metrics: Metrics) -> None:
    sink = PrometheusSink(PrometheusSettings(), metrics, external_url="https://monitor.example/")

    def change(state: State, event_id: str) -> list[str]:
        sink.emit(replace(event("t", state), event_id=event_id))
        (family,) = (one for one in metrics.registry.collect() if one.name == "asd_event_info")
        return [sample.labels["url"] for sample in family.samples]

    assert change(State.WARNING, "e1") == ["https://monitor.example/events/e1"]
    assert change(State.ALARM, "e1") == ["https://monitor.example/events/e1"]
    assert change(State.UNKNOWN, "e1") == ["https://monitor.example/events/e1"]
    assert change(State.NORMAL, "e1") == []
    assert change(State.ALARM, "e2") == ["https://monitor.example/events/e2"]
    assert change(State.LEARNING, "e2") == []


def test_only_the_present_mode_of_a_machine_has_a_series(metrics: Metrics) -> None:
    sink = PrometheusSink(PrometheusSettings(), metrics)

    def enter(mode: str) -> list[str]:
        window = scored_window()
        sink.emit(replace(window, decision=replace(window.decision, mode=mode)))
        (family,) = (one for one in metrics.registry.collect() if one.name == "asd_mode_info")
        return [sample.labels["mode"] for sample in family.samples]

    assert enter("idle") == ["idle"]
    assert enter("running") == ["running"]
    assert enter("") == []
