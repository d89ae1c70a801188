"""Machines that are added to a running monitor."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from prometheus_client import generate_latest

from asd_monitor.config import Config, from_options
from asd_monitor.errors import ConfigError, StateError
from asd_monitor.history.reader import HistoryReader
from asd_monitor.records import MachineRemoved, Record, ScoredWindow, State, Transition
from asd_monitor.runtime.builder import MonitorHandle, build_monitor
from asd_monitor.runtime.microphones import microphone_settings
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


def make_config(
    folder: Path,
    *machines: str,
    minutes: float | None = None,
    devices: Mapping[str, tuple[str, int]] = MappingProxyType({}),
) -> Config:
    model = {} if minutes else {"model": str(folder / "toy.asd"), "target": "pump"}
    learn = {"learn": {"minutes": minutes}} if minutes else {}
    return from_options(
        {
            "machines": {
                name: {
                    "mic": dict(
                        zip(("device", "channel"), devices.get(name, (name, 0)), strict=True),
                        latency_s=0.3,
                    ),
                    "name": name.title(),
                }
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
    deadline = time.monotonic() + 240
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


def assert_no_loss(handle: MonitorHandle, collected: Collected, machine: str) -> None:
    starts = np.array([one.score.window_start for one in collected.windows(machine)])
    assert len(set(np.diff(starts))) == 1
    assert handle.status().machines[machine].lost_samples == 0


def test_a_machine_joins_and_leaves_on_another_channel_of_a_card_without_a_loss_for_the_first(
    tmp_path: Path, virtual_microphones: MakeMicrophones
) -> None:
    sound = VirtualSound(np.stack([NOISE, NOISE[::-1]], axis=1), exclusive=True)
    virtual_microphones(card=sound)
    save_toy(tmp_path / "toy.asd")
    config = make_config(tmp_path, "pump", "fan", devices={"pump": ("card", 0), "fan": ("card", 1)})
    alone = config.model_copy(update={"machines": {"pump": config.machines["pump"]}})
    with running(alone) as (handle, collected):
        wait_until(lambda: len(collected.windows("pump")) > 3)
        for _ in range(2):  # a machine that was removed can be added again
            seen = len(collected.windows("fan"))
            handle.machines.add(config, "fan")
            wait_until(lambda: len(collected.windows("fan")) > seen + 3)  # noqa: B023
            assert handle.status().machines["fan"].lost_samples == 0
            handle.machines.remove("fan")
            assert list(handle.status().machines) == list(handle.machines.names) == ["pump"]
        last = [one for one in collected.records if one.machine == "fan"][-2:]
        assert isinstance(last[0], Transition)
        assert (last[0].state, last[0].reason) == (State.UNKNOWN, "the machine was removed")
        assert last[1] == MachineRemoved("fan")
        before = len(collected.windows("pump"))
        wait_until(lambda: len(collected.windows("pump")) > before + 1)
    assert_no_loss(handle, collected, "pump")


def test_nothing_of_a_removed_machine_is_left_in_the_running_monitor(
    tmp_path: Path, virtual_microphones: MakeMicrophones
) -> None:
    virtual_microphones(pump=VirtualSound(NOISE), fan=VirtualSound(NOISE))
    save_toy(tmp_path / "toy.asd")
    config = make_config(tmp_path, "pump", "fan")
    with running(config) as (handle, collected):
        wait_until(lambda: State.WARNING in collected.states("fan"))  # for the toy model, noise
        alarm_path = handle.state.alarm_path("fan")
        wait_until(alarm_path.exists)
        ring = handle.machines.rings["fan"]
        handle.machines.remove("fan")
        wait_until(lambda: ring.nbytes < 100)
        assert "fan" not in generate_latest(handle.metrics.registry).decode()
        wait_until(lambda: not alarm_path.exists())
        with handle.state.lock("fan"):
            pass
        with pytest.raises(StateError, match="fan is not monitored"):
            handle.machines.remove("fan")
        before = len(collected.windows("pump"))
        wait_until(lambda: len(collected.windows("pump")) > before)
        assert handle.history is not None
        assert handle.history.flush()
        [event] = HistoryReader(handle.history.path).events(machine="fan")
        assert event.closed_s is not None
        assert event.clip  # made before its sound was freed
    assert_no_loss(handle, collected, "pump")


def test_a_machine_that_is_being_learned_is_removed(
    tmp_path: Path, virtual_microphones: MakeMicrophones
) -> None:
    virtual_microphones(pump=VirtualSound(NOISE))
    with running(make_config(tmp_path, "pump", minutes=1.0)) as (handle, collected):
        wait_until(lambda: State.LEARNING in collected.states("pump"))
        commissioning = handle.monitor.commissioning("pump")
        assert commissioning is not None
        wait_until(lambda: commissioning.progress().learned_s > 1)
        handle.machines.remove("pump")
        assert all(thread.name != "learn-pump" for thread in threading.enumerate())
        assert handle.status().machines == {}
        assert handle.monitor.is_alive()


def test_a_machine_that_cannot_be_added_changes_nothing(
    tmp_path: Path, virtual_microphones: MakeMicrophones
) -> None:
    virtual_microphones(pump=VirtualSound(NOISE))
    save_toy(tmp_path / "toy.asd")
    config = make_config(tmp_path, "pump")
    both = make_config(tmp_path, "pump", "fan", devices={"fan": ("pump", 0)})
    machines = {}
    for name, rate_hz in (("pump", 16_000), ("fan", 8000)):
        source = microphone_settings(both)[name].model_copy(update={"rate_hz": rate_hz})
        machines[name] = both.machines[name].model_copy(update={"mic": source})
    config = config.model_copy(update={"machines": {"pump": machines["pump"]}})
    with running(config) as (handle, _):
        with pytest.raises(ConfigError, match="rate_hz are 8000 and 16000"):
            handle.machines.add(config.model_copy(update={"machines": machines}), "fan")
        assert list(handle.status().machines) == ["pump"]
        with handle.state.lock("fan"):
            pass
