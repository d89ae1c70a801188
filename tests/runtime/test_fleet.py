"""Two boxes of a plant: bridged brokers, remote write, and configurations from one inventory."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import paho.mqtt.client as paho
import pytest
import soundfile
import yaml

from tests.rig import toy_model
from tests.rig.mosquitto import Collector, Mosquitto, shipped_persistence, wait_until
from tests.rig.paths import DOCS
from tests.rig.prometheus import running_prometheus
from tests.rig.toy_monitor import ToyMonitor, running_toy

BOXES = ("hall-1", "hall-2")
SCORES_DURING_OUTAGE = 10


def read_blocks(language: str) -> list[str]:
    """Return the code blocks of the guide."""
    text = (DOCS / "fleet.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def bridge_to(port: int) -> str:
    """Return the lines of the guide for a plant's broker without TLS and passwords."""
    (lines,) = read_blocks("conf")
    kept = [line for line in lines.splitlines() if not line.startswith(("bridge_ca", "remote_"))]
    return "\n".join(kept).replace("broker.plant.example:8883", f"127.0.0.1:{port}")


def run_box(stack: ExitStack, folder: Path, box: str, port: int) -> ToyMonitor:
    """Run a monitor that scores ten windows a second."""
    (folder / box).mkdir()
    sound = folder / box / "normal.wav"
    soundfile.write(sound, toy_model.noise(100).reshape(-1), toy_model.RATE_HZ, "PCM_24")
    source = {"wav": {"paths": [str(sound)], "paced": True, "loop": True}}
    mqtt = {"host": "127.0.0.1", "port": port}
    return stack.enter_context(running_toy(folder / box, source, node=box, mqtt=mqtt))


class Plant:
    """The broker of the plant, that of a box, and the monitors of two boxes."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.broker = Mosquitto(folder, shipped_persistence(folder))
        stack.enter_context(self.broker)
        bridged = stack.enter_context(Mosquitto(folder, bridge_to(self.broker.port)))
        self.at_the_plant = stack.enter_context(
            Collector(self.broker.port, "asd/#", "plant", keep_session)
        )
        self.at_the_box = stack.enter_context(Collector(bridged.port, "asd/#"))
        self.monitors = [run_box(stack, folder, box, bridged.port) for box in BOXES]


def keep_session(client: paho.Client) -> None:
    client._clean_session = False


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    with ExitStack() as stack:
        yield Plant(stack, tmp_path_factory.mktemp("plant"))


def test_what_two_boxes_publish_while_the_plants_broker_is_gone_arrives_afterwards(
    plant: Plant,
) -> None:
    scores = [f"{box}/pump/score" for box in BOXES]
    for topic in scores:
        plant.at_the_plant.wait_for(topic)
    plant.broker.stop()
    for topic in scores:
        before = len(plant.at_the_box.of(topic))
        plant.at_the_box.wait_for(topic, before + SCORES_DURING_OUTAGE)
    published = {topic: {each.payload for each in plant.at_the_box.of(topic)} for topic in scores}

    def all_arrived() -> bool:
        return all(
            published[topic] <= {each.payload for each in plant.at_the_plant.of(topic)}
            for topic in scores
        )

    assert not all_arrived()
    plant.broker.start()
    wait_until(all_arrived, "the scores of the outage")


def test_a_box_sends_its_series_to_the_prometheus_of_the_plant(
    plant: Plant, tmp_path: Path
) -> None:
    (text,) = [block for block in read_blocks("yaml") if "remote_write" in block]
    config = yaml.safe_load(text)
    for name in ("plant", "box"):
        (tmp_path / name).mkdir()
    with running_prometheus(tmp_path / "plant", "127.0.0.1:9", receives=True) as central:
        del config["remote_write"][0]["basic_auth"]
        config["remote_write"][0]["url"] = f"{central.url}/api/v1/write"
        settings = {"remote_write": config["remote_write"]}
        labels = config["global"]["external_labels"]
        target = f"127.0.0.1:{plant.monitors[0].metrics_port}"
        with running_prometheus(tmp_path / "box", target, external=labels, **settings):
            (series,) = central.wait_for('asd_windows_total{result="scored",machine="pump"} > 0')
    assert series["metric"]["box"] == "hall-1"


def test_the_script_of_the_guide_writes_a_configuration_for_each_box(tmp_path: Path) -> None:
    text = (DOCS / "fleet.md").read_text()
    inventory = re.findall(r"^    (hall-\d,.*)$", text, re.MULTILINE)
    (tmp_path / "inventory.csv").write_text("\n".join(inventory) + "\n")
    (script,) = read_blocks("sh")
    program = tmp_path / "asd-monitor"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m asd_monitor.cli "$@"\n')
    program.chmod(0o755)
    (tmp_path / "fleet.sh").write_text(script.replace("asd-monitor ", f"{program} "))
    shell = shutil.which("sh")
    assert shell is not None
    done = subprocess.run(
        [shell, "fleet.sh"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    written = {
        path.parent.name: yaml.safe_load(path.read_text())
        for path in tmp_path.glob("fleet/*/plant.yaml")
    }
    assert {box: len(config["machines"]) for box, config in written.items()} == {
        "hall-1": 2,
        "hall-2": 1,
    }
    assert all(config["node"] == box for box, config in written.items())
