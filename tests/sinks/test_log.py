"""What the log sink logs, and the score file."""

import json
import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from asd_monitor.errors import SinkError
from asd_monitor.records import (
    AlarmStatus,
    EvidenceReady,
    LearningProgress,
    MachineAlarm,
    SourceState,
    State,
)
from asd_monitor.sinks.log import LogSettings, LogSink
from asd_monitor.sinks.payloads import encode, score_payload
from asd_monitor.telemetry.metrics import Metrics
from tests.rig.full_disk import max_file_size
from tests.rig.mosquitto import wait_until
from tests.rig.records import event, health, scored_window


def log_sink(path: Path | None = None) -> tuple[LogSink, CollectorRegistry]:
    registry = CollectorRegistry()
    return LogSink(LogSettings(scores=path), Metrics(registry), node="plant"), registry


def dropped(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("asd_dropped_total", {"queue": "score_file"})


def test_an_alarm_is_a_warning_with_its_reason_and_score(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    sink, _ = log_sink()
    sink.emit(replace(event("e"), provisional=True))
    sink.emit(event("e", State.NORMAL))
    alarm, normal = caplog.records
    assert (alarm.levelno, normal.levelno) == (logging.WARNING, logging.INFO)
    expected = "pump: NORMAL -> ALARM (provisional threshold): 4 of 5 windows above the threshold"
    assert alarm.getMessage() == f"{expected} [score 1.25, p = 0.5]"


def test_the_sound_of_an_event_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sink, _ = log_sink()
    for headline in ("louder, for 32 s so far", "louder, for 52 s so far", "louder, for 3 min"):
        sink.emit(EvidenceReady("pump", "e1", 0.0, headline))
    sink.emit(EvidenceReady("pump", "e2", 0.0, "quieter"))
    assert [record.getMessage() for record in caplog.records] == [
        "pump: sound: louder, for 32 s so far",
        "pump: sound: quieter",
    ]


def test_health_is_logged_only_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sink, _ = log_sink()
    for samples in range(5):
        sink.emit(health(samples=samples))
    for _ in range(5):
        sink.emit(health(SourceState.FROZEN))
    sink.emit(health())
    levels = [record.levelno for record in caplog.records]
    assert levels == [logging.INFO, logging.WARNING, logging.INFO]
    assert "no audio for 2 s; 40 samples lost so far" in caplog.records[1].getMessage()


def test_windows_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    sink, _ = log_sink()
    sink.open()
    sink.emit(scored_window(0))
    sink.close()
    assert not caplog.records


def test_learning_is_logged_in_steps_of_a_tenth(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sink, _ = log_sink()
    for learned_s in range(301):
        sink.emit(LearningProgress("pump", float(learned_s), 300.0))
    assert 5 <= len(caplog.records) <= 10
    assert caplog.records[0].getMessage() == "pump: learned 30 of 300 s"


def test_the_begin_of_the_fit_is_logged_once_although_all_sound_was_learned_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    sink, _ = log_sink()
    for fitting in (False, True, True):
        sink.emit(LearningProgress("pump", 300.0, 300.0, fitting))
    assert caplog.messages == [
        "pump: learned 300 of 300 s",
        "pump: learned 300 of 300 s; fitting the model",
    ]


def test_scores_are_appended_to_a_file_as_they_are_published(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_bytes(b'{"from": "before"}\n')
    sink, registry = log_sink(path)
    sink.open()
    windows = [scored_window(seq) for seq in range(500)]
    for window in windows:
        sink.emit(window)
    sink.close()
    sink.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0] == {"from": "before"}
    assert len(lines) + (dropped(registry) or 0) == 501
    assert lines[-1]["window"] == 499
    over_mqtt = json.loads(encode(score_payload(windows[-1], "plant", 0.0)))
    assert lines[-1].keys() == over_mqtt.keys()
    sink.emit(scored_window(500))
    assert dropped(registry) == 501 - len(lines) + 1


def test_a_full_disk_drops_and_counts_scores_and_leaves_no_incomplete_lines(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "scores.jsonl"
    sink, registry = log_sink(path)
    sink.open()
    with max_file_size(2000):
        for seq in range(20):
            sink.emit(scored_window(seq))
        wait_until(lambda: (dropped(registry) or 0) >= 15, "the losses")
        wait_until(
            lambda: registry.get_sample_value("asd_queue_depth", {"queue": "score_file"}) == 0,
            "the queue",
        )
    sink.emit(scored_window(20))
    sink.close()
    seqs = [json.loads(line)["window"] for line in path.read_text().splitlines()]
    assert seqs == [*range(len(seqs) - 1), 20]
    assert len(seqs) + (dropped(registry) or 0) == 21
    assert sum("cannot be written" in record.message for record in caplog.records) == 1


def test_a_pipe_is_refused_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    sink, _ = log_sink(path)
    with pytest.raises(SinkError, match="expected a regular file"):
        sink.open()


def test_a_file_that_cannot_be_opened_is_refused_at_the_start(tmp_path: Path) -> None:
    sink, _ = log_sink(tmp_path / "missing" / "scores.jsonl")
    with pytest.raises(SinkError, match="cannot append to"):
        sink.open()


def test_the_end_of_the_monitor_is_not_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sink, _ = log_sink()
    sink.emit(health(SourceState.CLOSED))
    sink.emit(event("e", State.UNKNOWN))
    assert [record.levelno for record in caplog.records] == [logging.INFO, logging.INFO]


def test_an_alarm_from_before_a_restart_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sink, _ = log_sink()
    sink.emit(replace(event("e"), previous=State.ALARM))
    sink.emit(replace(event("e", State.UNKNOWN), previous=State.UNKNOWN))
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.INFO]


def test_what_people_did_is_logged_and_their_absence_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink, _ = log_sink()
    alarm = MachineAlarm("pump", AlarmStatus.ACKNOWLEDGED, 5.0, who="anna", comment="on my way")
    with caplog.at_level(logging.INFO):
        sink.emit(replace(alarm, status=AlarmStatus.UNACKNOWLEDGED, who="", comment=""))
        sink.emit(alarm)
    assert [record.message for record in caplog.records] == [
        "pump: acknowledged by anna: on my way"
    ]
