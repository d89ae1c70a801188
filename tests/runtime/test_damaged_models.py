"""A model that cannot be read or saved is the trouble of its machine only."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import soundfile
from typer.testing import CliRunner

from asd_monitor.cli import create_app
from asd_monitor.config import Config, from_options
from asd_monitor.demo.pump_sound import PumpSound
from asd_monitor.errors import ModelFileError
from asd_monitor.judging.proposal import previous_model
from asd_monitor.model_file import read_manifest
from asd_monitor.model_file.keys import own_key
from asd_monitor.model_file.signature import sign
from asd_monitor.records import Record, ScoredWindow, SourceHealth, State, Transition
from asd_monitor.runtime import model_store
from asd_monitor.runtime.builder import build_monitor
from asd_monitor.runtime.model_store import save_model
from asd_monitor.runtime.monitor import Monitor
from asd_monitor.runtime.state_dir import StateFolder
from tests.rig.played_source import PlayedSource
from tests.rig.toy_model import noise, save_toy

RATE_HZ = 16_000
WAIT_S = 120.0


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

    def of(self, machine: str) -> list[Record]:
        return [record for record in self.records if record.machine == machine]

    def is_scored(self, machine: str) -> bool:
        return any(isinstance(record, ScoredWindow) for record in self.of(machine))

    def reasons(self, machine: str) -> str:
        return "\n".join(
            record.reason
            for record in self.of(machine)
            if isinstance(record, SourceHealth | Transition)
        )

    def last_state(self, machine: str) -> State:
        return [one.state for one in self.of(machine) if isinstance(one, Transition)][-1]


def make_config(folder: Path, **machines: dict[str, object]) -> Config:
    sections = {name: {"mic": 0, "target": "pump"} | extra for name, extra in machines.items()}
    return from_options(
        {"machines": sections, "state_dir": str(folder), "mqtt": None, "prometheus": None,
         "web": None, "learn": {"minutes": 0.5}}
    )  # fmt: skip


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@contextmanager
def running(config: Config) -> Iterator[tuple[Monitor, dict[str, PlayedSource], Collected]]:
    sources = {name: PlayedSource(name) for name in config.machines}
    collected = Collected()
    handle = build_monitor(config, sources=sources, extra_sinks=[collected])
    try:
        handle.monitor.start()
        yield handle.monitor, sources, collected
    finally:
        handle.close()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.01)


def record_pump(state: StateFolder, clips: int) -> None:
    folder = state.make(state.recordings_path("pump"))
    sound = PumpSound(3, RATE_HZ)
    for index in range(clips):
        samples = sound.block(10 * index * RATE_HZ, 10 * RATE_HZ, 0.0)
        soundfile.write(folder / f"normal_id_00_{index:08d}.wav", samples, RATE_HZ)


def test_a_damaged_model_makes_its_machine_unknown_and_the_others_are_scored(
    tmp_path: Path,
) -> None:
    good, bad = save_toy(tmp_path / "good.asd"), save_toy(tmp_path / "bad.asd")
    damage(bad)
    config = make_config(tmp_path / "state", pump={"model": str(good)}, fan={"model": str(bad)})
    with running(config) as (monitor, sources, collected):
        for source in sources.values():
            source.play(noise(20).ravel())
        wait_until(lambda: collected.is_scored("pump"), "scores of the other machine")
        wait_until(lambda: "bad.asd" in collected.reasons("fan"), "the reason")
        assert collected.last_state("fan") is State.UNKNOWN
        assert monitor.is_alive()
    assert not collected.is_scored("fan")
    first = next(one for one in collected.of("fan") if isinstance(one, Transition))
    assert "cannot be used" in first.reason
    assert "bad.asd" in first.reason


def test_a_target_that_a_shared_model_lacks_is_the_trouble_of_one_machine(tmp_path: Path) -> None:
    model = str(save_toy(tmp_path / "toy.asd"))
    config = make_config(
        tmp_path / "state", pump={"model": model}, fan={"model": model, "target": "valve"}
    )
    with running(config) as (_, sources, collected):
        sources["pump"].play(noise(20).ravel())
        wait_until(lambda: collected.is_scored("pump"), "scores of the other machine")
    assert "has no target 'valve'" in collected.reasons("fan")


def test_the_start_fails_if_no_machine_has_a_model_that_can_be_used(tmp_path: Path) -> None:
    bad = save_toy(tmp_path / "bad.asd")
    damage(bad)
    with pytest.raises(ModelFileError, match=r"bad\.asd"):
        build_monitor(make_config(tmp_path / "state", pump={"model": str(bad)}))


def test_the_previous_model_is_used_instead_of_a_damaged_one(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    contents = [save_toy(tmp_path / f"{n}.asd", {"revision": str(n)}).read_bytes() for n in (1, 2)]
    for content in contents:
        assert save_model(state, "pump", content).content is None
    key = own_key(tmp_path)
    assert previous_model(tmp_path, "pump").read_bytes() == sign(contents[0], key)
    damage(state.model_path("pump"))
    with running(make_config(tmp_path, pump={})) as (monitor, sources, collected):
        sources["pump"].play(noise(20).ravel())
        wait_until(lambda: collected.is_scored("pump"), "scores")
        detector = monitor.detector("pump")
        assert detector is not None
        assert detector.manifest.revision == "1"
        wait_until(lambda: "the previous one is used" in collected.reasons("pump"), "the reason")


def test_a_damaged_model_is_not_kept_as_the_previous_one(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    content = save_toy(tmp_path / "toy.asd").read_bytes()
    save_model(state, "pump", content)
    damage(state.model_path("pump"))
    save_model(state, "pump", content)
    assert not previous_model(tmp_path, "pump").exists()


def test_a_damaged_model_is_learned_again_from_its_recordings(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    record_pump(state, 3)
    model = save_toy(state.make(tmp_path / "models") / "pump.asd")
    damage(model)
    damaged = model.read_bytes()
    # Sound of now is not learned: the machine may have a fault by now.
    with running(make_config(tmp_path, pump={"target": "pump"})) as (monitor, _, collected):
        wait_until(lambda: monitor.detector("pump") is not None, "a model")
        assert "is learned again from 30 s of recordings" in collected.reasons("pump")
    assert read_manifest(model)[0].training["seconds"] == pytest.approx(30)
    assert (tmp_path / "models" / "pump.asd.damaged").read_bytes() == damaged


def test_a_damaged_model_without_recordings_is_not_replaced_by_the_sound_of_now(
    tmp_path: Path,
) -> None:
    bad = save_toy(StateFolder(tmp_path).make(tmp_path / "models") / "pump.asd")
    damage(bad)
    good = save_toy(tmp_path / "good.asd")
    with running(make_config(tmp_path, pump={}, fan={"model": str(good)})) as (_, sources, found):
        sources["pump"].play(noise(400).ravel())
        sources["fan"].play(noise(20).ravel())
        wait_until(lambda: found.is_scored("fan"), "scores of the other machine")
        assert found.last_state("pump") is State.UNKNOWN
    assert bad.exists()
    assert not list(tmp_path.glob("recordings/pump/train/*"))


def test_a_model_that_cannot_be_saved_is_used_from_memory_and_saved_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_store, "SAVE_INTERVAL_S", 0.05)
    state = StateFolder(tmp_path)
    record_pump(state, 3)
    obstacle = tmp_path / "models"
    obstacle.write_bytes(b"")
    with running(make_config(tmp_path, pump={"target": None})) as (monitor, sources, collected):
        wait_until(lambda: monitor.detector("pump") is not None, "a model")
        sources["pump"].play(PumpSound(3, RATE_HZ).block(0, 10 * RATE_HZ, 0.0))
        wait_until(lambda: collected.is_scored("pump"), "scores")
        wait_until(lambda: "could not be saved" in collected.reasons("pump"), "the reason")
        obstacle.unlink()
        (pipeline,) = monitor.pipelines
        wait_until(lambda: not pipeline.model_problem, "the end of the problem")
        detector = monitor.detector("pump")
        assert detector is not None
        assert read_manifest(state.model_path("pump"))[1] == detector.model.sha256
    assert "save-model-pump" not in [thread.name for thread in threading.enumerate()]


def test_check_reports_a_damaged_model_and_a_target_it_lacks(tmp_path: Path) -> None:
    good, bad = save_toy(tmp_path / "good.asd"), save_toy(tmp_path / "bad.asd")
    damage(bad)
    file = tmp_path / "monitor.yaml"
    text = f"state_dir: {tmp_path}\nmachines:\n"
    for name, model, target in (("pump", good, "pump"), ("fan", bad, "fan"), ("saw", good, "saw")):
        text += f"  {name}: {{wav: {tmp_path}, model: {model}, target: {target}}}\n"
    file.write_text(text)
    done = CliRunner().invoke(create_app(), ["check", str(file)])
    assert isinstance(done.exception, ModelFileError)
    assert done.exception.exit_code == 3
    problems = str(done.exception).splitlines()
    assert [problem.partition(":")[0] for problem in problems] == ["fan", "saw"]
    assert "no errors in the settings" in done.output
