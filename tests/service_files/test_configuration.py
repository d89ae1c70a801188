"""The configuration that ``init`` writes: valid, with every key, and with the given values."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from asd_monitor.config import Config, from_document
from asd_monitor.service_files.configuration import MachineEntry, write_configuration
from asd_monitor.settings_file import parse
from asd_monitor.sinks.mqtt.settings import MqttSettings
from tests.rig.paths import CONFIGS

PUMP = MachineEntry("pump", {"mic": "usb:0d8c:0014:A1"}, "USB Audio")


def read(text: str) -> Config:
    return from_document(parse(text, "plant.yaml"))


def test_it_has_the_given_machines_and_otherwise_the_defaults() -> None:
    fan = MachineEntry("fan", {"name": "Fan 1/2", "wav": {"paths": ["/srv/fan"]}})
    text = write_configuration([PUMP, fan])
    written = read(text).model_dump(mode="json")
    default = read(
        "machines:\n  pump: {mic: 'usb:0d8c:0014:A1'}\n"
        "  fan: {name: Fan 1/2, wav: {paths: [/srv/fan]}}\n"
    ).model_dump(mode="json")
    assert written == default
    assert "mic: usb:0d8c:0014:A1" in text
    assert "# USB Audio" in text


def test_it_has_every_line_of_the_documented_example() -> None:
    text = write_configuration([PUMP], node="hall-1", broker=("broker.plant", 8883))
    lines = {line.lstrip("# ") for line in text.splitlines()}
    example = (CONFIGS / "monitor.yaml").read_text().split("\n\n", 1)[1]
    changed = ("node:", "host:", "port: 1883")
    absent = [
        line
        for line in example.splitlines()
        if (words := line.lstrip("# ")) not in lines and not words.startswith(changed)
    ]
    assert absent == []


def test_broker_and_node_are_values_if_given_and_comments_otherwise() -> None:
    with_broker = read(write_configuration([PUMP], "hall-1", ("fe80::1", 8883)))
    mqtt = with_broker.sink_settings(MqttSettings)
    assert (with_broker.node, mqtt and (mqtt.host, mqtt.port)) == ("hall-1", ("fe80::1", 8883))
    without = write_configuration([PUMP])
    assert read(without).sink_settings(MqttSettings) is None
    assert "\n# node: plant-1" in without
    assert "\n#   host: localhost" in without


@given(
    name=st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=30),
    mic=st.one_of(st.integers(0, 9), st.text(min_size=1, max_size=30)),
    comment=st.sampled_from(["", 'USB "Audio": # 1']),
)
def test_any_name_and_microphone_is_read_back_as_it_was_given(
    name: str, mic: int | str, comment: str
) -> None:
    text = write_configuration([MachineEntry("on", {"name": name, "mic": mic}, comment)])
    assert yaml.safe_load(text)["machines"] == {"on": {"name": name, "mic": mic}}


@pytest.mark.parametrize("node", ["null", "3", "a: b"])
def test_a_node_that_looks_like_another_value_stays_text(node: str) -> None:
    assert yaml.safe_load(write_configuration([PUMP], node))["node"] == node
