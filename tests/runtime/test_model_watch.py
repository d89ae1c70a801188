"""A model file that is replaced while the monitor runs, in a real process."""

import hashlib
import json
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from asd_monitor.runtime import model_watch
from asd_monitor.runtime.model_watch import ModelWatch
from tests.rig.hostile_models import Writing, save_hostile
from tests.rig.mosquitto import wait_until
from tests.rig.reloaded_monitor import ReloadedMonitor
from tests.rig.toy_model import RATE_HZ, WINDOW_SAMPLES, save_toy
from tests.rig.virtual_microphone import MakeMicrophones, VirtualSound

NOISE = (1600 * np.random.default_rng(5).normal(0, 1, 120 * RATE_HZ)).astype(np.int16)


def revisions(monitor: ReloadedMonitor) -> list[str]:
    return [score["model"]["revision"] for score in monitor.scores("pump")]


@pytest.mark.real_time
def test_a_replaced_model_is_used_without_a_gap_and_a_bad_one_is_refused_and_named(
    tmp_path: Path, virtual_microphones: MakeMicrophones
) -> None:
    environment = virtual_microphones(pump=VirtualSound(NOISE)).environment
    path, new = save_toy(tmp_path / "toy.asd"), tmp_path / "new.asd"
    pump = {"mic": {"device": "pump", "latency_s": 0.5}, "model": str(path), "target": "pump"}
    config = {"machines": {"pump": pump}}
    with ReloadedMonitor(tmp_path, config, environment, ("--log-format", "json")) as monitor:
        monitor.wait_for("UNKNOWN -> ")
        wait_until(lambda: monitor.read("/readyz") == (200, "ok\n"), "readiness")
        save_toy(new, {"revision": "2"}).replace(path)
        wait_until(lambda: revisions(monitor)[-1] == "2", "the new model")
        monitor.assert_no_gap("pump")

        target, victim = tmp_path / "hostile.asd", tmp_path / "victim"
        for number, damage in enumerate((False, True), 1):
            victim.write_bytes(b"....")
            save_hostile(target, Writing(str(victim)))
            victim.write_bytes(b"....")  # it was run when it was saved
            if damage:
                target.write_bytes(path.read_bytes()[:-100])
            target.replace(path)
            monitor.wait_for("its new model file cannot be used", number)
        assert victim.read_bytes() == b"...."
        assert "log bands, revision 2" in monitor.log.split("cannot be used")[1]
        wait_until(lambda: "cannot be used" in monitor.read("/healthz")[1], "the health")

        changes = {"revision": "3", "window_samples": WINDOW_SAMPLES, "hop_samples": 800}
        shutil.copy(save_toy(new, changes), path)
        wait_until(lambda: revisions(monitor)[-1] == "3", "the third model")
        wait_until(lambda: "cannot be used" not in monitor.read("/healthz")[1], "the health")
        monitor.assert_no_gap("pump")
        lines = [json.loads(line) for line in monitor.log.splitlines()]
        used = [line for line in lines if "its model file was replaced" in line["message"]]
        assert [(line["level"], line["machine"]) for line in used] == [("info", "pump")] * 2


def test_a_file_that_is_used_while_it_is_verified_is_not_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, in_use, installed = tmp_path / "pump.asd", ["earlier"], list[str]()
    path.write_bytes(b"new")
    new = hashlib.sha256(b"new").hexdigest()

    def detector_of(sha256: str) -> Any:  # noqa: ANN401
        manifest = SimpleNamespace(name="toy", revision="1", sample_rate_hz=RATE_HZ)
        return SimpleNamespace(manifest=manifest, model=SimpleNamespace(sha256=sha256))

    def load_detector(*_arguments: object) -> Any:  # noqa: ANN401
        in_use[:] = [new]  # a refit is accepted meanwhile
        return detector_of(new)

    monkeypatch.setattr(model_watch, "load_detector", load_detector)
    monitor = SimpleNamespace(
        commissioning=lambda _machine: None,
        detector=lambda _machine: detector_of(in_use[0]),
        install=lambda machine, _detector: installed.append(machine),
        pipelines=[],
    )
    machines: Any = SimpleNamespace(
        config=SimpleNamespace(machines={"pump": SimpleNamespace(model=path)}),
        builder=SimpleNamespace(monitor=monitor, state=None),
        lock=threading.RLock(),
    )
    watch = ModelWatch(machines)
    for _ in range(3):
        watch.check()
    assert in_use == [new]
    assert installed == []
