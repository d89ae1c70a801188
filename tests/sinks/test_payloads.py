"""MQTT payloads and settings agree with the published schemas and docs/mqtt.md."""

import json
import math
import os
import re
from dataclasses import replace
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from asd_monitor.errors import ConfigError
from asd_monitor.judging.commands import MAX_MINUTES, CommandMessage
from asd_monitor.outbox.rows import Lane, Row, first_id
from asd_monitor.outbox.settings import OutboxSettings
from asd_monitor.records import (
    AlarmStatus,
    Band,
    EvidenceReady,
    LearningProgress,
    MachineAlarm,
    Quality,
    Rejection,
    SourceState,
    State,
)
from asd_monitor.sinks.mqtt.delivery_mark import encode_mark
from asd_monitor.sinks.mqtt.messages import retained_message, to_draft
from asd_monitor.sinks.mqtt.node_info import NodeInfo
from asd_monitor.sinks.mqtt.settings import HomeAssistantSettings, MqttSettings, MqttTls
from asd_monitor.sinks.mqtt.sink import MqttSink
from asd_monitor.sinks.mqtt.sparkplug.settings import SparkplugSettings
from asd_monitor.sinks.mqtt.topics import Topics, check_name
from asd_monitor.sinks.payloads import (
    MachineState,
    alarm_payload,
    encode,
    event_payload,
    evidence_payload,
    health_payload,
    rfc3339,
    score_payload,
    state_payload,
)
from asd_monitor.telemetry.metrics import Metrics
from tests.rig.paths import DOCS
from tests.rig.records import event, health, scored_window

MQTT_DOC = DOCS / "mqtt.md"
SCHEMAS = {
    path.name.removesuffix(".schema.json"): json.loads(path.read_text())
    for path in (DOCS / "schemas").glob("*.json")
}


def check(kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Validate what a subscriber reads; every member must be described."""
    encoded = encode(payload)
    if kind in ("score", "event", "evidence"):
        row = Row(first_id(5) + 7, 5, "plant", Lane.EVENT, "event", "pump", encoded, 0)
        encoded = row.encode(replayed=False, steps_ms=0)
    read: dict[str, Any] = json.loads(encoded)
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[kind])
    jsonschema.validate(read, SCHEMAS[kind], cls=jsonschema.Draft202012Validator)
    assert read.keys() == SCHEMAS[kind]["properties"].keys()
    for name, member in read.items():
        if isinstance(member, dict):
            assert member.keys() == SCHEMAS[kind]["properties"][name]["properties"].keys()
    return read


def test_a_recording_whose_name_is_not_utf_8_is_published() -> None:
    name = os.fsdecode(b"L\xfcfter.wav")
    read = check("score", score_payload(scored_window(recording=name), "plant", 0.0))
    assert read["recording"] == "L?fter.wav"


def test_payloads_carry_the_name_of_the_machine_for_people() -> None:
    topics = Topics("asd", "plant", {"pump": "Pump 1/2"})
    payloads = [
        to_draft(scored_window(), topics, 0.0).payload,
        to_draft(event("e"), topics, 0.0).payload,
        retained_message(health(), topics, 0.0).payload,
    ]
    for payload in map(json.loads, payloads):
        assert (payload["machine"], payload["name"]) == ("pump", "Pump 1/2")
    unnamed = to_draft(scored_window(), Topics("asd", "plant"), 0.0)
    assert json.loads(unnamed.payload)["name"] == "pump"


def test_a_recording_that_is_read_faster_than_real_time_has_no_latency() -> None:
    window = replace(scored_window(captured_at=5.0), is_live=False)
    assert check("score", score_payload(window, "plant", 400.0))["latency_ms"] is None


def test_a_score_meets_its_schema() -> None:
    read = check("score", score_payload(scored_window(captured_at=1.5), "plant", 1.6))
    assert read["ts"] == "1970-01-01T00:00:01.500Z"
    assert (read["window_s"], read["hop_s"]) == (2.0, 1.0)
    assert (read["latency_ms"], read["inference_ms"]) == (100.0, 4.0)
    assert read["ts_ns"] == 1_500_000_000


@pytest.mark.parametrize("quality", Quality)
def test_a_window_that_was_not_scored_meets_the_schema(quality: Quality) -> None:
    unscored = scored_window(
        3,
        quality=quality,
        value=None,
        p_value=None,
        threshold=None,
        level_dbfs=None,
        model=None,
        recording="a.wav",
    )
    assert check("score", score_payload(unscored, "plant", 0.0))["score"] is None


@given(st.floats(), st.floats(), st.floats(), st.floats())
def test_every_number_is_finite_or_null(
    value: float, level: float, took: float, now: float
) -> None:
    window = scored_window(value=value, level_dbfs=level, inference_s=took, threshold=math.inf)
    text = encode(score_payload(window, "plant", now)).decode()

    def refuse(constant: str) -> float:
        raise AssertionError(constant)

    json.loads(text, parse_constant=refuse)


def test_numpy_scalars_become_plain_numbers() -> None:
    window = scored_window(value=np.float64(1.5), p_value=np.float32(0.25))
    read = check("score", score_payload(window, "plant", 0.0))
    assert (read["score"], read["p_value"]) == (1.5, 0.25)


@pytest.mark.parametrize("state", State)
def test_an_event_meets_its_schema(state: State) -> None:
    assert check("event", event_payload(event("e", state), "plant"))["window"] == 7
    check("event", event_payload(replace(event("e", state), score=None), "plant"))


def test_evidence_meets_its_schema() -> None:
    band = Band(230.0, 260.0, 6.1, 30.2, 45.0)
    ready = EvidenceReady("pump", "e1", 5.0, "louder at 250 Hz, by 6 dB", (band,))
    assert check("evidence", evidence_payload(ready, "plant"))["clip_s"] is None
    kept = replace(ready, clip="c", clip_s=47.25, url="https://x.example/events/e1", is_final=True)
    read = check("evidence", evidence_payload(kept, "plant"))
    assert (read["clip_s"], read["url"], read["final"]) == (47.25, kept.url, True)


def test_a_state_meets_its_schema() -> None:
    known = MachineState("pump", State.ALARM, State.NORMAL, 5.0, "loud", True, "e1")
    learning = replace(known, previous=None, event_id=None)
    progress = LearningProgress(
        "pump", 3.0, 300.0, fitting=True, problem="too loud", rejected_s={Rejection.CLIPPED: 20.0}
    )
    check("state", state_payload(known, "plant", 6.0))
    read = check("state", state_payload(replace(learning, learning=progress), "plant", 6.0))
    assert read["learning"] == {
        "learned_s": 3.0,
        "required_s": 300.0,
        "fitting": True,
        "problem": "too loud",
        "rejected_s": {"clipped": 20.0},
    }


def test_the_info_of_a_node_meets_its_schema() -> None:
    info = NodeInfo("plant", "8f3a", "press-7", "feed", "asd-monitor-1", 5.0, ("pump", "fan"), 6.0)
    read = check("info", json.loads(info.encode()))
    assert (read["machines"], read["started"]) == (["pump", "fan"], "1970-01-01T00:00:05.000Z")


def test_a_mark_of_what_was_delivered_meets_its_schema() -> None:
    assert check("delivered", json.loads(encode_mark("plant", 7, 5.0)))["until_ms"] == 7


@pytest.mark.parametrize("state", SourceState)
def test_health_meets_its_schema(state: SourceState) -> None:
    check("health", health_payload(replace(health(state), measured_rate_hz=47999.2), "p", 1.0))
    check("health", health_payload(replace(health(state), last_audio_at=None), "p", 1.0))


@given(st.floats(0, 4e9))
def test_times_are_written_to_the_millisecond(seconds: float) -> None:
    pattern = SCHEMAS["score"]["properties"]["ts"]["pattern"]
    assert re.match(pattern, rfc3339(seconds))


@pytest.mark.parametrize(
    "name", ["", "a+b", "#", "a/b", "a\0b", "a\nb", "$SYS", " pump", "pump ", "x" * 201, "a\u2028b"]
)
def test_names_that_topics_do_not_allow_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="machine"):
        check_name("machine", name)
    with pytest.raises(ConfigError, match="node"):
        Topics("asd", name)


@pytest.mark.parametrize("base", ["", "/asd", "asd/", "a//b", "a/+/b", "$share/a"])
def test_invalid_base_topics_are_refused(base: str) -> None:
    with pytest.raises(ConfigError, match="base_topic"):
        Topics(base, "plant")


def test_the_sink_refuses_bad_machine_names_on_construction() -> None:
    metrics = Metrics(CollectorRegistry())
    with pytest.raises(ConfigError, match="fan/id_00"):
        MqttSink(MqttSettings(host="broker"), metrics, node="plant", machines=["fan/id_00"])


def test_names_may_use_any_script_and_the_base_topic_several_levels() -> None:
    topics = Topics("acme/halle 1/line-2", "plant")
    assert topics.score("Lüfter 3") == "acme/halle 1/line-2/plant/Lüfter 3/score"


def documented(text: str) -> set[str]:
    """Return the first column of the tables of a text that is code."""
    return set(re.findall(r"^\| `([^`]+)` \|", text, flags=re.MULTILINE))


@pytest.mark.parametrize("status", AlarmStatus)
def test_what_people_did_meets_the_schema(status: AlarmStatus) -> None:
    alarm = MachineAlarm("pump", status, 5.0, "e1", 2, "fault", 99.0, "anna", "on my way")
    read = check("alarm", alarm_payload(alarm, "plant", 9.0))
    assert (read["since"], read["until"]) == (
        "1970-01-01T00:00:05.000Z",
        "1970-01-01T00:01:39.000Z",
    )
    empty = check("alarm", alarm_payload(MachineAlarm("pump", status, 5.0), "plant", 9.0))
    assert (empty["event_id"], empty["verdict"], empty["until"]) == (None, None, None)


def test_the_schema_of_commands_has_the_members_that_are_accepted() -> None:
    schema = SCHEMAS["command"]
    accepted = CommandMessage.model_json_schema()
    assert schema["properties"].keys() == accepted["properties"].keys()
    assert schema["properties"]["do"]["enum"] == accepted["properties"]["do"]["enum"]
    assert schema["properties"]["minutes"]["maximum"] == MAX_MINUTES
    assert schema["required"] == accepted["required"]


def test_the_documentation_lists_all_topics_and_schemas() -> None:
    topics = Topics("<base>", "<node>")
    of_machine = (topics.score, topics.backlog, topics.state, topics.event, topics.evidence)
    of_source = (topics.health, topics.availability, topics.alarm, topics.command)
    expected = {
        topics.status,
        topics.info,
        topics.delivered,
        *(topic("<machine>") for topic in (*of_machine, *of_source)),
    }
    assert {
        entry for entry in documented(MQTT_DOC.read_text()) if entry.startswith("<base>")
    } == expected
    for kind in SCHEMAS:
        assert f"schemas/{kind}.schema.json" in MQTT_DOC.read_text()


def test_the_documentation_lists_all_settings() -> None:
    keys = documented(MQTT_DOC.read_text().partition("\n## Settings\n")[2])
    tls = {f"tls.{name}" for name in MqttTls.model_fields}
    home_assistant = {f"home_assistant.{name}" for name in HomeAssistantSettings.model_fields}
    outbox = {f"outbox.{name}" for name in OutboxSettings.model_fields}
    sparkplug = {f"sparkplug.{name}" for name in SparkplugSettings.model_fields}
    plain = set(MqttSettings.model_fields) - {"tls", "home_assistant", "outbox", "sparkplug"}
    assert keys == plain | tls | home_assistant | outbox | sparkplug


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"password_file": "p", "password_env": "P", "username": "u"}, "give one"),
        ({"password_env": "P"}, "without username"),
        ({"tls": {"key_file": "k"}}, "without cert_file"),
        ({"qos_score": 2}, "qos_score"),
        ({"port": 0}, "port"),
        ({"password": "secret"}, "password"),
        ({"reconnect_min_s": 9}, "reconnect_max_s"),
    ],
)
def test_inconsistent_settings_are_refused(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        MqttSettings(**{"host": "broker"} | wrong)
