"""Describe the machines to Home Assistant, which then shows them without any configuration.

Each machine is a device with its entities, and so is the monitor: one retained message each, in the
format of Home Assistant's MQTT device discovery. It is published after each login, and again some
seconds after Home Assistant has started.
"""

import hashlib
import random
import re
from collections.abc import Callable, Iterable

from asd_monitor import __version__
from asd_monitor.sinks.mqtt.home_assistant_entities import (
    Entity,
    buttons,
    machine_components,
    monitor_components,
)
from asd_monitor.sinks.mqtt.incoming import Incoming
from asd_monitor.sinks.mqtt.messages import ONLINE, Message
from asd_monitor.sinks.mqtt.settings import HomeAssistantSettings
from asd_monitor.sinks.mqtt.topics import Topics
from asd_monitor.sinks.payloads import Json, encode

ORIGIN = "asd-monitor"
BIRTH_DELAY_S = (1.0, 10.0)
"""Random delay after the start of Home Assistant, so that not all devices answer at once."""


def make_object_id(topics: Topics, machine: str = "") -> str:
    """Return the id of a machine's device, or of the monitor's, for use in discovery topics.

    It is made of letters, digits, ``_`` and ``-``, and different for each base topic and node.
    """
    parts = ["asd", topics.node, *([machine] if machine else [])]
    readable = re.sub(r"[^A-Za-z0-9_-]", "_", "_".join(parts))
    names = "/".join([topics.base, *parts[1:]])
    return f"{readable}_{hashlib.sha256(names.encode()).hexdigest()[:6]}"


def discovery_topic(settings: HomeAssistantSettings, object_id: str) -> str:
    """Return the topic that describes a device."""
    return f"{settings.prefix}/device/{object_id}/config"


def describe_machine(
    topics: Topics, machine: str, external_url: str, *, with_buttons: bool = False
) -> dict[str, Json]:
    """Return the description of a machine's device."""
    device_id = make_object_id(topics, machine)
    node = {"topic": topics.status}
    components = machine_components(topics, machine)
    if with_buttons:
        components |= buttons(topics, machine)
    for key, component in components.items():
        component["unique_id"] = f"{device_id}_{key}"
    device: dict[str, Json] = {
        "identifiers": [device_id],
        "name": topics.names.get(machine, machine),
        "manufacturer": ORIGIN,
        "model": "Acoustic condition monitor",
        "sw_version": __version__,
        "via_device": make_object_id(topics),
    }
    if external_url:
        device["configuration_url"] = external_url
    return _describe(device, components, [node])


def describe_monitor(topics: Topics, external_url: str) -> dict[str, Json]:
    """Return the description of the monitor's own device."""
    device_id = make_object_id(topics)
    components = monitor_components(topics)
    for key, component in components.items():
        component["unique_id"] = f"{device_id}_{key}"
    device: dict[str, Json] = {
        "identifiers": [device_id],
        "name": f"{ORIGIN} {topics.node}",
        "manufacturer": ORIGIN,
        "model": "Acoustic condition monitor",
        "sw_version": __version__,
    }
    if external_url:
        device["configuration_url"] = external_url
    return _describe(device, components, [])


def _describe(
    device: dict[str, Json],
    components: dict[str, Entity],
    availability: list[dict[str, str]],
) -> dict[str, Json]:
    description: dict[str, Json] = {
        "device": device,
        "origin": {"name": ORIGIN, "sw_version": __version__},
        "components": dict(components),
        "qos": 1,
    }
    if availability:
        description["availability"] = [dict(entry) for entry in availability]
    return description


class Discovery:
    """Decide when the descriptions are published.

    Parameters
    ----------
    settings
        Where Home Assistant looks for descriptions, and announces that it has started.
    topics
        The node's topics.
    machines
        Returns the machines of this monitor.
    external_url
        Address of the monitor's page; empty if it is not known.
    with_buttons
        Whether the monitor receives commands.
    """

    def __init__(
        self,
        settings: HomeAssistantSettings,
        topics: Topics,
        machines: Callable[[], Iterable[str]],
        external_url: str = "",
        *,
        with_buttons: bool = False,
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._machines = machines
        self._external_url = external_url
        self._with_buttons = with_buttons
        self._due_s = float("inf")

    @property
    def filters(self) -> list[str]:
        """Topics to receive while connected."""
        return [self._settings.status_topic]

    def login(self, now_s: float) -> None:
        """Publish everything now: the broker may have lost it."""
        self._due_s = now_s

    def receive(self, message: Incoming, now_s: float) -> None:
        """Publish everything soon if Home Assistant has started."""
        is_birth = message.topic == self._settings.status_topic and message.payload == ONLINE
        if is_birth and not message.retained:
            self._due_s = min(self._due_s, now_s + random.uniform(*BIRTH_DELAY_S))  # noqa: S311

    def due_in_s(self, now_s: float) -> float:
        """Return the time until :meth:`take` returns something."""
        return max(self._due_s - now_s, 0.0)

    def take(self, now_s: float) -> list[Message]:
        """Return the descriptions if they are due."""
        if now_s < self._due_s:
            return []
        self._due_s = float("inf")
        topics, url = self._topics, self._external_url
        machines = sorted(self._machines())
        described = [(make_object_id(topics), describe_monitor(topics, url))]
        described += [
            (
                make_object_id(topics, machine),
                describe_machine(topics, machine, url, with_buttons=self._with_buttons),
            )
            for machine in machines
        ]
        return [self._message(object_id, encode(payload)) for object_id, payload in described]

    def remove(self, machine: str) -> Message:
        """Return the message that removes a machine's device from Home Assistant."""
        return self._message(make_object_id(self._topics, machine), b"")

    def _message(self, object_id: str, payload: bytes) -> Message:
        topic = discovery_topic(self._settings, object_id)
        return Message("retained", topic, payload, 1, retain=True)
