"""Home Assistant is given valid descriptions of the machines, at the right times."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import jinja2
import jsonschema
import pytest
from paho.mqtt import publish
from typer.testing import CliRunner

from asd_monitor.cli import create_app
from asd_monitor.errors import ConfigError
from asd_monitor.judging.commands import parse_command
from asd_monitor.records import AlarmStatus, Band, EvidenceReady, MachineAlarm, State
from asd_monitor.sinks.mqtt import home_assistant
from asd_monitor.sinks.mqtt.check_publishing import DISCOVERY_BYTES
from asd_monitor.sinks.mqtt.home_assistant import (
    describe_machine,
    describe_monitor,
    make_object_id,
)
from asd_monitor.sinks.mqtt.settings import HomeAssistantSettings
from asd_monitor.sinks.mqtt.topics import Topics
from asd_monitor.sinks.payloads import encode, event_payload, evidence_payload, score_payload
from tests.rig.mosquitto import Collector, Mosquitto, wait_until
from tests.rig.mqtt_sinks import Rig, broker, rig
from tests.rig.records import event, health, scored_window

__all__ = ["broker", "rig"]

TOPICS = Topics("asd", "plant", {"pump": "Feed pump 2"})
TEXT = {"type": "string", "minLength": 1}
TOPIC = {"type": "string", "pattern": r"^[^#+\x00]+$"}
AVAILABILITY = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"topic": TOPIC},
        "required": ["topic"],
        "additionalProperties": False,
    },
}
DEVICE_CLASSES = {
    "binary_sensor": ["problem", "connectivity"],
    "sensor": ["enum", "timestamp"],
    "event": [],
    "button": [],
}
ENUM = {"properties": {"device_class": {"const": "enum"}}, "required": ["device_class"]}
NO_MEASUREMENT = {
    "required": ["options"],
    "not": {"anyOf": [{"required": ["state_class"]}, {"required": ["unit_of_measurement"]}]},
}
"""A sensor of the class `enum` lists its options, and is no measurement."""


def component_schema(platform: str, **options: object) -> dict[str, Any]:
    """Return the schema of an entity, with the documented options that the monitor uses."""
    common = {
        "platform": {"const": platform},
        "unique_id": TEXT,
        "name": TEXT,
        "state_topic": TOPIC,
        "value_template": TEXT,
        "device_class": {"enum": DEVICE_CLASSES[platform]},
        "entity_category": {"const": "diagnostic"},
        "enabled_by_default": {"type": "boolean"},
        "json_attributes_topic": TOPIC,
        "availability": AVAILABILITY,
        "availability_mode": {"enum": ["all", "any", "latest"]},
    }
    if platform == "button":
        common.pop("state_topic")
    topic = "command_topic" if platform == "button" else "state_topic"
    needed = {"event": ["event_types"], "button": ["payload_press"]}.get(platform, [])
    return {
        "type": "object",
        "properties": common | options,
        "required": ["platform", "unique_id", "name", topic, *needed],
        "additionalProperties": False,
        "if": ENUM,
        "then": NO_MEASUREMENT,
    }


DESCRIPTION = {
    "type": "object",
    "properties": {
        "device": {
            "type": "object",
            "properties": {
                "identifiers": {"type": "array", "items": TEXT, "minItems": 1},
                "name": TEXT,
                "manufacturer": TEXT,
                "model": TEXT,
                "sw_version": TEXT,
                "via_device": TEXT,
                "configuration_url": {"type": "string", "pattern": "^https?://"},
            },
            "required": ["identifiers", "name"],
            "additionalProperties": False,
        },
        "origin": {
            "type": "object",
            "properties": {"name": TEXT, "sw_version": TEXT},
            "required": ["name"],
            "additionalProperties": False,
        },
        "components": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "oneOf": [
                    component_schema("binary_sensor", payload_on=TEXT, payload_off=TEXT),
                    component_schema(
                        "sensor",
                        options={"type": "array", "items": TEXT},
                        state_class={"enum": ["measurement"]},
                        expire_after={"type": "integer", "minimum": 1},
                        unit_of_measurement=TEXT,
                        suggested_display_precision={"type": "integer", "minimum": 0},
                    ),
                    component_schema(
                        "event",
                        event_types={
                            "type": "array",
                            "items": TEXT,
                            "minItems": 1,
                            "uniqueItems": True,
                        },
                    ),
                    component_schema(
                        "button",
                        command_topic=TOPIC,
                        payload_press=TEXT,
                        retain={"const": False},
                    ),
                ]
            },
        },
        "availability": AVAILABILITY,
        "qos": {"enum": [0, 1, 2]},
    },
    "required": ["device", "origin", "components"],
    "additionalProperties": False,
}
"""The documented options of device discovery; origin and device are required."""


def render(template: object, payload: dict[str, Any]) -> str:
    """Return what Home Assistant makes of a payload."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701
    environment.filters["to_json"] = json.dumps
    assert isinstance(template, str)
    return environment.from_string(template).render(value_json=json.loads(encode(payload)))


def components() -> dict[str, Any]:
    described: Any = describe_machine(TOPICS, "pump", "")["components"]
    assert isinstance(described, dict)
    return described


@pytest.mark.parametrize("url", ["", "https://monitor.example/"])
def test_descriptions_have_only_documented_options(url: str) -> None:
    machine = describe_machine(TOPICS, "pump", url, with_buttons=True)
    monitor = describe_monitor(TOPICS, url)
    for description in (machine, monitor):
        read = json.loads(encode(description))
        jsonschema.validate(read, DESCRIPTION, cls=jsonschema.Draft202012Validator)
        assert len(encode(description)) < DISCOVERY_BYTES
        assert ("configuration_url" in read["device"]) == bool(url)
    ids = [
        component["unique_id"]
        for description in (machine, monitor)
        for component in json.loads(encode(description))["components"].values()
    ]
    assert len(set(ids)) == len(ids)
    assert json.loads(encode(machine))["device"]["name"] == "Feed pump 2"


def test_a_press_of_a_button_is_a_command_that_the_monitor_accepts() -> None:
    described: Any = describe_machine(TOPICS, "pump", "", with_buttons=True)["components"]
    buttons = {key: one for key, one in described.items() if one["platform"] == "button"}
    assert set(buttons) == {"ack", "normal"}
    for key, button in buttons.items():
        assert button["command_topic"] == TOPICS.command("pump")
        assert parse_command("pump", button["payload_press"].encode()).message.do == key
    assert not any(one["platform"] == "button" for one in components().values())


def test_every_entity_reads_a_topic_that_the_monitor_publishes(broker: Mosquitto, rig: Rig) -> None:
    with Collector(broker.port) as subscriber:
        sink = rig.sink(broker.port, home_assistant={})
        for record in (
            health(),
            scored_window(),
            replace(event("e"), event_id="e1"),
            EvidenceReady("pump", "e1", 1.0, "louder", (Band(200.0, 300.0, 6.0),)),
            MachineAlarm("pump", AlarmStatus.UNACKNOWLEDGED, 5.0, "e1"),
        ):
            sink.emit(record)
        shown = {}
        for device in (make_object_id(TOPICS, "pump"), make_object_id(TOPICS)):
            (config, *_) = subscriber.wait_for(f"homeassistant/device/{device}/config")
            for key, entity in json.loads(config.payload)["components"].items():
                payload = subscriber.wait_for(entity["state_topic"])[-1].payload.decode()
                template = entity.get("value_template", "{{ value_json }}")
                is_text = payload in ("online", "offline")
                shown[key] = payload if is_text else render(template, json.loads(payload))
                for topic in entity.get("availability", []):
                    subscriber.wait_for(topic["topic"])
                if entity.get("device_class") == "enum":
                    assert shown[key] in entity["options"]
    assert datetime.fromisoformat(shown.pop("started")).tzinfo is not None
    assert json.loads(shown.pop("event"))["event_type"] == "alarm"
    assert shown.pop("version")
    assert shown == {
        "problem": "ON", "warning": "ON", "state": "ALARM", "microphone": "online",
        "alarm": "unacknowledged", "evidence": "louder", "score": "1.25", "p_value": "0.5",
        "level": "-31.5", "connection": "online",
    }  # fmt: skip


@pytest.mark.parametrize("state", State)
def test_problem_and_state_follow_the_state(state: State) -> None:
    described, transition = components(), event("e", state)
    payload = event_payload(transition, "plant")
    problem = {State.ALARM: "ON", State.UNKNOWN: "None", State.LEARNING: "None"}
    assert render(described["problem"]["value_template"], payload) == problem.get(state, "OFF")
    expected = "ON" if state is State.WARNING else problem.get(state, "OFF")
    assert render(described["warning"]["value_template"], payload) == expected
    assert render(described["state"]["value_template"], payload) in described["state"]["options"]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("previous", State)
def test_an_event_has_one_of_the_announced_types(state: State, previous: State) -> None:
    payload = event_payload(replace(event("e", state), previous=previous), "plant")
    described = components()["event"]
    fired = json.loads(render(described["value_template"], payload))
    assert fired["event_type"] in described["event_types"]
    cleared = state is State.NORMAL and previous in (State.ALARM, State.WARNING)
    assert (fired["event_type"] == "cleared") == cleared
    assert fired["reason"] == payload["reason"]


def test_the_headline_of_the_evidence_fits_into_a_state() -> None:
    evidence = EvidenceReady("pump", "e", 1.0, "louder " * 100, (Band(200.0, 300.0, 6.0),))
    text = render(components()["evidence"]["value_template"], evidence_payload(evidence, "plant"))
    assert text.startswith("louder")
    assert len(text) == 255


def test_ids_are_valid_in_topics_and_differ_for_each_machine_node_and_base() -> None:
    ids = [
        make_object_id(Topics(base, node), machine)
        for base in ("asd", "site/asd")
        for node in ("plant", "plant-1")
        for machine in ("", "pump.1", "pump_1", "Pumpe-ü")
    ]
    assert len(set(ids)) == len(ids)
    assert all(char.isascii() and (char.isalnum() or char in "_-") for one in ids for char in one)


@pytest.mark.parametrize("topic", ["", "a/#", "+", "/a"])
@pytest.mark.parametrize("key", ["prefix", "status_topic"])
def test_topics_with_wildcards_are_refused(key: str, topic: str) -> None:
    with pytest.raises(ValueError, match=key):
        HomeAssistantSettings(**{key: topic})


def start(rig: Rig, broker: Mosquitto, subscriber: Collector) -> str:
    """Start a sink with discovery; return the topic of the pump's description."""
    sink = rig.sink(broker.port, home_assistant={})
    sink.emit(health())
    topic = f"homeassistant/device/{make_object_id(TOPICS, 'pump')}/config"
    publish.single("homeassistant/status", "online", 0, port=broker.port)
    subscriber.wait_for(topic)
    return topic


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_assistant, "BIRTH_DELAY_S", (0.0, 0.0))


def test_machines_are_described_again_when_home_assistant_has_started(
    broker: Mosquitto, rig: Rig
) -> None:
    with Collector(broker.port) as subscriber:
        topic = start(rig, broker, subscriber)
        before = len(subscriber.of(topic))
        publish.single("homeassistant/status", "offline", 0, port=broker.port)
        publish.single("homeassistant/status", "online", 0, port=broker.port)
        described = subscriber.wait_for(topic, before + 1)
        monitor = f"homeassistant/device/{make_object_id(TOPICS)}/config"
        subscriber.wait_for(monitor, 2)
    jsonschema.validate(json.loads(described[-1].payload), DESCRIPTION)
    with Collector(broker.port, topic="homeassistant/#") as late:
        assert late.wait_for(topic)[0].retain


def test_nothing_is_published_for_home_assistant_unless_it_is_asked_for(
    broker: Mosquitto, rig: Rig
) -> None:
    with Collector(broker.port) as subscriber:
        sink = rig.sink(broker.port)
        publish.single("homeassistant/status", "online", 0, port=broker.port)
        sink.emit(event("e"))
        subscriber.wait_for("/event")
        assert not subscriber.of("/config")


def test_a_machine_that_was_removed_is_removed_from_home_assistant(
    broker: Mosquitto, rig: Rig
) -> None:
    publish.single("asd/plant/old/availability", "online", 1, retain=True, port=broker.port)
    with Collector(broker.port) as subscriber:
        rig.sink(broker.port, home_assistant={})
        (removed,) = subscriber.wait_for(f"{make_object_id(TOPICS, 'old')}/config")
    assert removed.payload == b""


def test_the_command_removes_the_devices_of_its_node_only(broker: Mosquitto, rig: Rig) -> None:
    others = {"homeassistant/device/other/config": "{}", "homeassistant/device/x/config": "[1"}
    for topic, payload in others.items():
        publish.single(topic, payload, 1, retain=True, port=broker.port)
    with Collector(broker.port) as subscriber:
        topic = start(rig, broker, subscriber)
        for sink in rig.sinks:
            sink.close()
        arguments = ["mqtt", "--remove-discovery", "--node", "plant"]
        arguments += ["--mqtt", f"127.0.0.1:{broker.port}"]
        done = CliRunner().invoke(create_app(), arguments)
        assert done.exit_code == 0, done.output
        assert done.output.splitlines() == ["removed asd-monitor plant", "removed pump"]
        wait_until(lambda: subscriber.of(topic)[-1].payload == b"", "the removal")
    with Collector(broker.port, topic="homeassistant/#") as late:
        late.wait_for("/config", 2)
        assert {message.topic for message in late.messages} == set(others)


def test_the_command_needs_a_broker_and_something_to_do() -> None:
    for arguments in (["mqtt"], ["mqtt", "--remove-discovery"]):
        done = CliRunner().invoke(create_app(), arguments)
        assert isinstance(done.exception, ConfigError)


def test_scores_of_a_window_are_shown() -> None:
    payload = score_payload(scored_window(), "plant", 0.0)
    shown = {key: render(components()[key]["value_template"], payload)
             for key in ("score", "p_value", "level")}  # fmt: skip
    assert shown == {"score": "1.25", "p_value": "0.5", "level": "-31.5"}
