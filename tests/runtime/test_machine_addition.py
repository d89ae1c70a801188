"""Machines that are added to a running monitor."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from asd_monitor.config import Config, from_options
from asd_monitor.errors import StateError
from asd_monitor.records import Record, ScoredWindow, State, Transition
from asd_monitor.runtime.builder import MonitorHandle, build_monitor
from asd_monitor.runtime.serve import serve
from tests.rig.toy_model import RATE_HZ, save_toy
from tests.rig.virtual_microphone import MakeMicrophones, VirtualSound

NOISE = (3000 * np.random.default_rng(5).normal(0, 1, 60 * RATE_HZ)).astype(np.int16)


class Collected:
    """A sink that keeps all records."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def open(self) -> None:
        pass

    def emit(self, record: Record) -> None:
        self.records.append(record)

    def close(self) -> None:
        pass

    def windows(self, machine: str) -> list[ScoredWindow]:
        return [one for one in self.records
                if isinstance(one, ScoredWindow) and one.machine == machine]  # fmt: skip

    def states(self, machine: str) -> list[State]:
        return [one.state for one in self.records
                if isinstance(one, Transition) and one.machine == machine]  # fmt: skip


def make_config(folder: Path, *machines: str, minutes: float | None = None) -> Config:
    model = {} if minutes else {"model": str(folder / "toy.asd"), "target": "pump"}
    learn = {"learn": {"minutes": minutes}} if minutes else {}
    return from_options(
        {
            "machines": {
                name: {"mic": {"device": name, "latency_s": 0.3}, "name": name.title()}
                | model
                | learn
                for name in machines
            },
            "mqtt": None,
            "prometheus": None,
            "web": {"port": 0},
            "state_dir": str(folder / "state"),
        }
    )


@contextmanager
def running(config: Config) -> Iterator[tuple[MonitorHandle, Collected]]:
    collected, stop = Collected(), threading.Event()
    handle = build_monitor(config, extra_sinks=[collected])
    thread = threading.Thread(target=serve, args=(handle, stop), kwargs={"environ": {}})
    thread.start()
    try:
        yield handle, collected
    finally:
        stop.set()
        thread.join()


def wait_until(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_machine_is_added_without_losing_a_window_of_the_others(
    tmp_path: Path, virtual_microphones: MakeMicrophones
) -> None:
    virtual_microphones(pump=VirtualSound(NOISE), fan=VirtualSound(NOISE))
    save_toy(tmp_path / "toy.asd")
    with running(make_config(tmp_path, "pump")) as (handle, collected):
        wait_until(lambda: len(collected.windows("pump")) > 3)
        handle.machines.add(make_config(tmp_path, "pump", "fan"), "fan")
        wait_until(lambda: len(collected.windows("fan")) > 3)
        assert handle.status().machines["fan"].name == "Fan"
        late = Collected()
        handle.monitor.insert_sink(late)
        assert late.states("pump")[0] is collected.states("pump")[-1]
        before = len(collected.windows("pump"))
        wait_until(lambda: len(collected.windows("pump")) > before)
        handle.monitor.remove_sink(late)
        assert late not in handle.monitor.sinks
    starts = np.array([one.score.window_start for one in collected.windows("pump")])
    assert len(set(np.diff(starts))) == 1
    assert handle.status().machines["pump"].lost_samples == 0
    noise = collected.windows("fan")[-1].decision.verdict
    assert noise.rule == "window"  # for the toy model, noise is a fault


def test_a_monitor_without_machines_waits_for_the_first_one(
    tmp_path: Path, virtual_microphones: MakeMicrophones
) -> None:
    virtual_microphones(pump=VirtualSound(NOISE))
    with running(make_config(tmp_path)) as (handle, collected):
        handle.machines.add(make_config(tmp_path, "pump", minutes=1.0), "pump")
        wait_until(lambda: State.LEARNING in collected.states("pump"))
        commissioning = handle.monitor.commissioning("pump")
        assert commissioning is not None
        wait_until(lambda: commissioning.progress().learned_s > 1)
        commissioning.pause()
        wait_until(lambda: "paused" in handle.status().machines["pump"].problem)
        learned_s = commissioning.progress().learned_s
        commissioning.resume()
        wait_until(lambda: commissioning.progress().learned_s > learned_s)


def test_a_machine_that_cannot_be_added_changes_nothing(
    tmp_path: Path, virtual_microphones: MakeMicrophones
) -> None:
    virtual_microphones(pump=VirtualSound(NOISE))
    save_toy(tmp_path / "toy.asd")
    config = make_config(tmp_path, "pump")
    same_card = config.model_copy(
        update={"machines": config.machines | {"fan": config.machines["pump"]}}
    )
    with running(config) as (handle, _):
        with pytest.raises(StateError, match="its microphone is used by pump"):
            handle.machines.add(same_card, "fan")
        assert list(handle.status().machines) == ["pump"]
        with handle.state.lock("fan"):
            pass
