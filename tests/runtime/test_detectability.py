"""Models are measured in the background: once each, in a process that the monitor stops."""

import json
import logging
import os
import threading
import time
from contextlib import suppress
from functools import partial
from operator import add
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from asd_monitor import model_file
from asd_monitor.cli import create_app
from asd_monitor.config import from_options
from asd_monitor.detectability.store import read_result, result_path
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.errors import ModelFileError
from asd_monitor.quickstart import Recording, fit
from asd_monitor.runtime.detectability import DetectabilityJobs, measure_learned, measure_machine
from asd_monitor.runtime.forget import find_remembered
from asd_monitor.runtime.state_dir import StateFolder

RATE_HZ = 8000
MACHINE = "pump"


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    """Return a state folder with a machine that was learned from 40 s of sound."""
    state = StateFolder(tmp_path / "state")
    folder = state.make(state.recordings_path(MACHINE))
    rng = np.random.default_rng(1)
    recordings = []
    for n in range(4):
        samples = rng.normal(0, 0.1, 10 * RATE_HZ).astype(np.float32)
        soundfile.write(folder / f"normal_id_00_{n:08d}.wav", samples, RATE_HZ)
        recordings.append(Recording(str(n), samples, "earlier", 10.0 * n))
    save(state, recordings)
    return state


def save(state: StateFolder, recordings: list[Recording]) -> None:
    fitted = fit(recordings, target=MACHINE, sample_rate_hz=RATE_HZ, window_s=2.0)
    state.make(state.model_path(MACHINE).parent)
    model_file.save(state.model_path(MACHINE), fitted.module, fitted.manifest)


def make_jobs(state: StateFolder, asked: float = 1.0) -> DetectabilityJobs:
    return DetectabilityJobs(state, lambda: {MACHINE: asked, "new": asked}, start_delay_s=0.0)


def children() -> set[str]:
    """Return the ids of the processes that this one has started."""
    found = set[str]()
    for children in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        with suppress(OSError):  # of a thread that has ended
            found.update(children.read_text().split())
    return found


def wait_for(condition: object, what: str) -> None:
    assert callable(condition)
    end_s = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < end_s, what
        time.sleep(0.05)


def test_the_monitor_stops_the_process_and_the_next_start_measures(
    state: StateFolder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    before, stopped = children(), make_jobs(state)
    stopped.open()
    wait_for(lambda: children() - before, "no process was started")
    stopped.close()
    stopped.close()
    assert children() <= before
    assert not result_path(state.model_path(MACHINE)).exists()

    again = make_jobs(state)
    again.open()
    wait_for(lambda: read_result(state.model_path(MACHINE)), "nothing was measured")
    wait_for(lambda: "at least 180 s of normal sound" in caplog.text, "no log")
    again.close()
    assert not list(again.list_missing())


def test_another_model_and_another_setting_are_measured_again(state: StateFolder) -> None:
    measure_machine(state, MACHINE, AlarmSettings())
    assert not list(make_jobs(state).list_missing())
    assert [name for name, _, _ in make_jobs(state, 10.0).list_missing()] == [MACHINE]
    path = state.model_path(MACHINE)
    _, before = model_file.read_manifest(path)
    rng = np.random.default_rng(2)
    save(state, [Recording("other", rng.normal(0, 0.1, 40 * RATE_HZ).astype(np.float32))])
    _, after = model_file.read_manifest(path)
    assert after != before
    assert [sha256 for _, sha256, _ in make_jobs(state).list_missing()] == [after]


def test_a_new_model_is_not_measured_at_once(state: StateFolder) -> None:
    written_s = state.model_path(MACHINE).stat().st_mtime
    for age_s, expected in ((1.0, []), (61.0, [MACHINE])):
        jobs = DetectabilityJobs(
            state, lambda: {MACHINE: 1.0}, clock=partial(add, written_s, age_s)
        )
        assert [name for name, _, _ in jobs.list_missing()] == expected


def test_a_machine_without_a_model_cannot_be_measured(state: StateFolder) -> None:
    with pytest.raises(ModelFileError, match="expected a model that was learned here"):
        measure_machine(state, "fan", AlarmSettings())


def test_forgetting_a_machine_and_its_models_forgets_what_it_can_detect(
    state: StateFolder,
) -> None:
    measure_machine(state, MACHINE, AlarmSettings())
    result = result_path(state.model_path(MACHINE))
    assert result in find_remembered(state, MACHINE, models=True).paths
    assert result not in find_remembered(state, MACHINE).paths


def test_inspect_shows_the_result_of_this_model_only(state: StateFolder) -> None:
    path, runner = state.model_path(MACHINE), CliRunner()

    def inspect(*options: str) -> str:
        done = runner.invoke(create_app(), ["inspect", str(path), *options])
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "Not measured yet" in inspect()
    assert json.loads(inspect("--json"))["detectability"] is None
    options = ["--state-dir", str(state.root)]
    done = runner.invoke(create_app(), ["detectability", MACHINE, *options])
    assert done.exit_code == 0, done.output
    assert "expected at least 180 s of normal sound" in done.stdout
    assert "expected at least 180 s" in inspect()
    assert json.loads(inspect("--json"))["detectability"]["trials"] == 0
    result = result_path(path)
    result.write_text(result.read_text().replace('"model_sha256": "', '"model_sha256": "other'))
    assert "Not measured yet" in inspect()
    result.write_text("{")
    assert "Not measured yet" in inspect()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "expected either a machine or --model"),
        (["pump", "--model", "pump.asd"], "expected either a machine or --model"),
        (["--model", "pump.asd"], "expected both"),
        (["pump", "--false-alarms-per-month", "0"], "expected a number in (0, 1000]"),
    ],
)
def test_wrong_arguments_of_the_command_are_named(arguments: list[str], expected: str) -> None:
    done = CliRunner().invoke(create_app(), ["detectability", *arguments])
    assert expected in str(done.exception)


def test_learning_measures_only_where_the_settings_ask_for_it(
    state: StateFolder,
) -> None:
    def measured(*, detectability: bool) -> list[str]:
        options = {
            "machines": {MACHINE: {"wav": {"paths": ["x.wav"]}}},
            "learn": {"detectability": detectability},
        }
        config, stop = from_options(options), threading.Event()
        return list(measure_learned(config, state, [MACHINE], stop, quiet=True))

    assert measured(detectability=True) == [MACHINE]
    assert measured(detectability=False) == []
