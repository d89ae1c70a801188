"""Every Prometheus series: there from the start, few, well named, and documented."""

import re
from dataclasses import replace
from math import isnan

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from asd_monitor.records import LearningProgress, Quality, SourceState, State
from asd_monitor.sinks.prometheus.sink import PrometheusSettings, PrometheusSink
from asd_monitor.telemetry import QUEUES, WINDOW_RESULTS, Metrics
from tests.rig.metrics_scenario import MACHINES, tell, unplug
from tests.rig.paths import DOCS
from tests.rig.prometheus import promtool
from tests.rig.records import MODEL, event, health, scored_window

METRICS_DOC = DOCS / "metrics.md"


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics(CollectorRegistry())
    made.add_machines(MACHINES)
    return made


def told(metrics: Metrics) -> Metrics:
    tell(PrometheusSink(PrometheusSettings(), metrics))
    return metrics


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = metrics.registry.get_sample_value(name, labels)
    assert found is not None, f"{name}{labels} does not exist"
    return found


def series_of(metrics: Metrics, machine: str) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if sample.labels.get("machine") == machine and not sample.name.endswith("_created")
    }


def test_every_series_but_the_models_exists_before_anything_happened(metrics: Metrics) -> None:
    before = series_of(metrics, "pump")
    after = series_of(told(metrics), "pump")
    assert {name for name, _ in after - before} == {"asd_model_info"}


def test_counters_and_states_begin_at_zero_and_measurements_at_nan(metrics: Metrics) -> None:
    for result in WINDOW_RESULTS:
        assert value(metrics, "asd_windows_total", machine="pump", result=result) == 0
    for name in ("asd_alarms_total", "asd_audio_lost_frames_total", "asd_source_up"):
        assert value(metrics, name, machine="pump") == 0
    for name in ("asd_anomaly_score", "asd_p_value", "asd_score_threshold"):
        assert isnan(value(metrics, name, machine="pump"))
    for queue in QUEUES:
        assert value(metrics, "asd_dropped_total", queue=queue) == 0
    assert isnan(value(metrics, "asd_mqtt_connected"))


def test_a_machine_has_at_most_eighty_series(metrics: Metrics) -> None:
    tell(PrometheusSink(PrometheusSettings(), metrics))
    unplug(PrometheusSink(PrometheusSettings(), metrics), "pump")
    assert 50 < len(series_of(metrics, "pump")) <= 80


def test_a_machines_series_do_not_grow_with_time_or_models(metrics: Metrics) -> None:
    sink = PrometheusSink(PrometheusSettings(), metrics)
    tell(sink)
    before = len(series_of(metrics, "pump"))
    for number in range(1, 20):
        tell(sink, number)
        newer = replace(MODEL, sha256=f"{number:064x}")
        sink.emit(scored_window(number, model=newer))
    assert len(series_of(metrics, "pump")) == before


def test_promtool_finds_nothing_to_complain_of(metrics: Metrics) -> None:
    done = promtool("check", "metrics", stdin=generate_latest(told(metrics).registry))
    assert done.returncode == 0, done.stdout
    assert done.stdout.strip() == ""


def test_promtool_would_complain_of_a_bad_name() -> None:
    done = promtool(
        "check", "metrics", stdin=b"# TYPE latency_milliseconds counter\nlatency_milliseconds 1\n"
    )
    assert done.returncode != 0


def test_windows_are_counted_by_what_became_of_them(metrics: Metrics) -> None:
    told(metrics)
    got = {
        result: value(metrics, "asd_windows_total", machine="pump", result=result)
        for result in WINDOW_RESULTS
    }
    expected = {**dict.fromkeys(WINDOW_RESULTS, 0.0), "scored": 7.0}
    assert got == expected | {"silent": 1.0, "stuck": 1.0, "clipped": 1.0}


def test_a_window_without_a_score_leaves_no_old_score_standing(metrics: Metrics) -> None:
    metrics.observe_window(scored_window(0))
    assert value(metrics, "asd_anomaly_score", machine="pump") == 1.25
    metrics.observe_window(
        scored_window(1, quality=Quality.SILENT, value=None, p_value=None, level_dbfs=None)
    )
    for name in ("asd_anomaly_score", "asd_p_value", "asd_audio_level_dbfs"):
        assert isnan(value(metrics, name, machine="pump"))


def test_a_machine_that_cannot_be_heard_has_no_score(metrics: Metrics) -> None:
    sink = PrometheusSink(PrometheusSettings(), metrics)
    tell(sink)
    unplug(sink, "pump")
    assert isnan(value(metrics, "asd_anomaly_score", machine="pump"))
    assert value(metrics, "asd_alarm_state", machine="pump") == 0
    assert value(metrics, "asd_source_up", machine="pump") == 0
    assert value(metrics, "asd_source_state", machine="pump", state="missing") == 1
    assert value(metrics, "asd_anomaly_score", machine="fan/id_00") == 3.0


@pytest.mark.parametrize("state", list(State))
def test_exactly_one_state_is_set(metrics: Metrics, state: State) -> None:
    metrics.observe_transition(event("1", state))
    got = {each: value(metrics, "asd_state", machine="pump", state=each) for each in State}
    assert got == {each: float(each is state) for each in State}
    assert value(metrics, "asd_alarm_state", machine="pump") == float(state is State.ALARM)


def test_an_alarm_is_counted_once_when_it_is_raised(metrics: Metrics) -> None:
    metrics.observe_transition(event("1"))
    metrics.observe_transition(replace(event("1"), previous=State.ALARM))
    metrics.observe_transition(replace(event("2", State.NORMAL), previous=State.ALARM))
    assert value(metrics, "asd_alarms_total", machine="pump") == 1


def test_running_totals_of_the_health_become_counters(metrics: Metrics) -> None:
    for samples, lost in ((16000, 0), (32000, 480), (32000, 480), (48000, 500)):
        metrics.observe_health(replace(health(samples=samples), lost_samples=lost, reopens=2))
    assert value(metrics, "asd_audio_frames_total", machine="pump") == 48000
    assert value(metrics, "asd_audio_lost_frames_total", machine="pump") == 500
    assert value(metrics, "asd_source_restarts_total", machine="pump") == 2


@pytest.mark.parametrize("state", list(SourceState))
def test_a_source_is_up_only_while_it_runs(metrics: Metrics, state: SourceState) -> None:
    metrics.observe_health(health(state))
    running = float(state is SourceState.RUNNING)
    assert value(metrics, "asd_source_up", machine="pump") == running
    assert value(metrics, "asd_source_state", machine="pump", state=str(state)) == 1


def test_learning_is_told_against_its_target(metrics: Metrics) -> None:
    metrics.observe_learning(LearningProgress("pump", learned_s=42.0, wanted_s=300.0))
    assert value(metrics, "asd_learned_seconds", machine="pump") == 42
    assert value(metrics, "asd_learning_target_seconds", machine="pump") == 300


def test_the_documented_table_is_the_registry(metrics: Metrics) -> None:
    told(metrics).sink_errors.labels("mqtt")
    registered = set()
    for metric in metrics.registry.collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        labels = {label for sample in metric.samples for label in sample.labels} - {"le"}
        registered.add((name, metric.type, ", ".join(sorted(labels)), metric.documentation))
    assert documented() == registered


def documented() -> set[tuple[str, str, str, str]]:
    rows = re.findall(
        r"^\| `(asd_\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", METRICS_DOC.read_text(), re.M
    )
    return {
        (name, kind, ", ".join(sorted(re.findall(r"\w+", labels))), meaning)
        for name, kind, labels, meaning in rows
    }
