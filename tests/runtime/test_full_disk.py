"""The disk below the state folder of the whole program is really full, and the broker is away."""

import json
from pathlib import Path

import soundfile

from tests.rig import toy_model
from tests.rig.full_disk import fill, small_disk
from tests.rig.mosquitto import Collector, DurableBroker, keep_session, wait_until
from tests.rig.mqtt_sinks import FAST_RECONNECT
from tests.rig.toy_monitor import running_toy


def received(subscriber: Collector) -> set[int]:
    """Return the numbers of the windows whose scores have arrived."""
    messages = [*subscriber.of("/score"), *subscriber.of("/backlog")]
    return {json.loads(message.payload)["window"] for message in messages}


def test_a_full_disk_and_an_outage_of_the_broker_together_cost_no_score(tmp_path: Path) -> None:
    sound = tmp_path / "sound.wav"
    soundfile.write(sound, toy_model.noise(400).reshape(-1), toy_model.RATE_HZ)
    source = {"wav": {"paths": [str(sound)], "loop": True}}
    broker = DurableBroker(tmp_path)
    mqtt = FAST_RECONNECT | {"host": "127.0.0.1", "port": broker.port}
    with (
        small_disk(tmp_path / "state", 4_000_000) as disk,
        broker,
        Collector(broker.port, topic="asd/#", configure=keep_session) as subscriber,
        running_toy(tmp_path, source, mqtt=mqtt, history=None) as monitor,
    ):
        broker.kill()
        fill(disk / "filler")
        monitor.wait_for(lambda: monitor.value("asd_mqtt_outbox_degraded") == 1, "a full disk")
        start = monitor.windows()
        monitor.wait_for(lambda: monitor.windows() >= start + 20, "scores")
        broker.start()
        scored = monitor.windows()
        monitor.wait_for(lambda: received(subscriber) >= set(range(scored)), "every score")
        assert monitor.value("asd_dropped_total", queue="mqtt_scores") == 0
        (disk / "filler").unlink()
        summary = monitor.stop()
        wait_until(lambda: received(subscriber) == set(range(summary["windows"])), "the last ones")
    assert summary["lost_samples"] == 0
