"""The entities that Home Assistant shows of a machine and of the monitor.

Each is a component of a device in the format of Home Assistant's MQTT device discovery.
"""

from typing import TypeAlias

from asd_monitor.records import AlarmStatus, State
from asd_monitor.sinks.mqtt.topics import Topics
from asd_monitor.sinks.payloads import Json, encode

Entity: TypeAlias = dict[str, Json]

EXPIRE_S = 180
"""A score is unavailable if it is older; the largest distance of windows is 60 s."""

_STATES = [str(state) for state in State]
_PROBLEM = (
    "{{ 'ON' if value_json.state == 'ALARM' else 'OFF' "
    "if value_json.state in ('NORMAL', 'WARNING', 'OFF') else 'None' }}"
)
_WARNING = (
    "{{ 'ON' if value_json.state in ('ALARM', 'WARNING') else 'OFF' "
    "if value_json.state in ('NORMAL', 'OFF') else 'None' }}"
)
_EVENT_TYPES = [*(state.lower() for state in _STATES), "cleared"]
_EVENT = (
    "{% set cleared = value_json.state == 'NORMAL' "
    "and value_json.previous in ('ALARM', 'WARNING') %}"
    "{{ dict(value_json, event_type='cleared' if cleared else value_json.state | lower) "
    "| to_json }}"
)


def machine_components(topics: Topics, machine: str) -> dict[str, Entity]:
    """Return the entities of a machine by their key."""
    return {
        **_states(topics, machine),
        **_events(topics, machine),
        **_measurements(topics, machine),
    }


def monitor_components(topics: Topics) -> dict[str, Entity]:
    """Return the entities of the monitor itself by their key."""
    info = {"platform": "sensor", "state_topic": topics.info, "entity_category": "diagnostic"}
    return {
        "connection": {
            "platform": "binary_sensor",
            "name": "Connection",
            "device_class": "connectivity",
            "state_topic": topics.status,
            "payload_on": "online",
            "payload_off": "offline",
            "entity_category": "diagnostic",
        },
        "version": {**info, "name": "Version", "value_template": "{{ value_json.version }}"},
        "started": {
            **info,
            "name": "Started",
            "device_class": "timestamp",
            "value_template": "{{ value_json.started }}",
        },
    }


def _states(topics: Topics, machine: str) -> dict[str, Entity]:
    """Return the state of the machine and of its microphone."""
    state = topics.state(machine)
    return {
        "problem": {
            "platform": "binary_sensor",
            "name": "Problem",
            "device_class": "problem",
            "state_topic": state,
            "value_template": _PROBLEM,
        },
        "warning": {
            "platform": "binary_sensor",
            "name": "Warning",
            "device_class": "problem",
            "state_topic": state,
            "value_template": _WARNING,
        },
        "state": {
            "platform": "sensor",
            "name": "State",
            "device_class": "enum",
            "options": list(_STATES),
            "state_topic": state,
            "value_template": "{{ value_json.state }}",
            "json_attributes_topic": state,
        },
        "microphone": {
            "platform": "binary_sensor",
            "name": "Microphone",
            "device_class": "connectivity",
            "state_topic": topics.availability(machine),
            "payload_on": "online",
            "payload_off": "offline",
            "entity_category": "diagnostic",
        },
    }


def _events(topics: Topics, machine: str) -> dict[str, Entity]:
    """Return changes of state, what people did about them, and what changed in the sound."""
    return {
        "event": {
            "platform": "event",
            "name": "Change of state",
            "event_types": list(_EVENT_TYPES),
            "state_topic": topics.event(machine),
            "value_template": _EVENT,
        },
        "alarm": {
            "platform": "sensor",
            "name": "Acknowledgement",
            "device_class": "enum",
            "options": [str(status) for status in AlarmStatus],
            "state_topic": topics.alarm(machine),
            "value_template": "{{ value_json.status }}",
            "json_attributes_topic": topics.alarm(machine),
        },
        "evidence": {
            "platform": "sensor",
            "name": "What changed in the sound",
            "state_topic": topics.evidence(machine),
            "value_template": "{{ value_json.headline[:255] }}",
            "json_attributes_topic": topics.evidence(machine),
        },
    }


def _measurements(topics: Topics, machine: str) -> dict[str, Entity]:
    """Return the values of each window."""
    measured: Entity = {
        "platform": "sensor",
        "state_topic": topics.score(machine),
        "state_class": "measurement",
        "expire_after": EXPIRE_S,
        "entity_category": "diagnostic",
        "availability": [{"topic": topics.status}, {"topic": topics.availability(machine)}],
        "availability_mode": "all",
    }
    return {
        "score": {
            **measured,
            "name": "Anomaly score",
            "value_template": "{{ value_json.score }}",
            "suggested_display_precision": 2,
        },
        "p_value": {
            **measured,
            "name": "p-value",
            "value_template": "{{ value_json.p_value }}",
            "enabled_by_default": False,
        },
        "level": {
            **measured,
            "name": "Level relative to full scale",
            "unit_of_measurement": "dB",
            "value_template": "{{ value_json.level_dbfs }}",
            "enabled_by_default": False,
        },
    }


def buttons(topics: Topics, machine: str) -> dict[str, Entity]:
    """Return the buttons with which people act on events."""
    names = {"ack": "Acknowledge", "normal": "This was normal"}
    return {
        action: {
            "platform": "button",
            "name": name,
            "command_topic": topics.command(machine),
            "payload_press": encode({"do": action, "who": "Home Assistant"}).decode(),
            "retain": False,
        }
        for action, name in names.items()
    }
