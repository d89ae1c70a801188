"""Several threads call models; the results are those of one thread, in the same order."""

import json
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_monitor.bench.own_models import make_own_models, make_state
from asd_monitor.detection.detector import Detector
from asd_monitor.errors import ModelFileError
from asd_monitor.model_file import load
from asd_monitor.model_file.loaded_model import LoadedModel, Voices
from asd_monitor.records import Quality, Window, WindowScore
from asd_monitor.runtime.scoring_rounds import score_batches, split
from asd_monitor.runtime.scoring_threads import ScoringThreads
from tests.rig.toy_model import RATE_HZ, WINDOW_SAMPLES, noise, rules_of, save_toy

MACHINES = ("pump", "fan", "valve", "mixer", "press")
TIMEOUT_S = 240.0
TIMES = ("ts", "ts_ns", "latency_ms", "inference_ms")


class ChangedModel(LoadedModel):
    """A model whose scores are multiplied, or that fails."""

    factor, failure = 1.0, ""

    def begin_voices(
        self, windows: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]
    ) -> Callable[[], Voices]:
        if self.failure:
            raise ModelFileError(self.failure)
        voices = super().begin_voices(windows, targets)()
        return lambda: voices._replace(scores=self.factor * voices.scores)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(save_toy(tmp_path_factory.mktemp("model") / "toy.asd"), "cpu")


def changed(model: LoadedModel, factor: float = 1.0, failure: str = "") -> LoadedModel:
    made = ChangedModel(model.module, model.manifest, model.sha256, "cpu")
    made.factor, made.failure = factor, failure
    return made


@contextmanager
def scoring_threads(workers: int) -> Iterator[ScoringThreads]:
    with closing(ScoringThreads(workers)) as threads:
        yield threads


def score_rounds(
    detectors: list[Detector], rounds: list[list[tuple[int, float, int]]], workers: int
) -> list[WindowScore]:
    """Score rounds of windows, each of a machine, a level and a seed, in the order of emission."""
    found: list[WindowScore] = []
    with scoring_threads(workers) as threads:
        for number, round_ in enumerate(rounds):
            windows_of: dict[Detector, list[Window]] = {}
            for machine, level_dbfs, seed in round_:
                samples = noise(1, level_dbfs, seed)[0]
                window = Window(MACHINES[machine], samples, number * WINDOW_SAMPLES, 1000.0 + seed)
                windows_of.setdefault(detectors[machine % len(detectors)], []).append(window)
            for _, scores in score_batches(list(split(windows_of)), threads):
                found += scores
    return [replace(score, inference_s=0.0) for score in found]


WINDOW = st.tuples(
    st.integers(0, len(MACHINES) - 1), st.sampled_from([-200.0, -40.0, -26.0, 10.0]),
    st.integers(0, 999),
)  # fmt: skip


@given(
    st.lists(st.lists(WINDOW, max_size=12), min_size=1, max_size=4),
    st.integers(1, len(MACHINES)),
    st.integers(2, 4),
)
@settings(max_examples=30, deadline=None)
def test_scores_and_order_are_those_of_one_thread(
    model: LoadedModel, rounds: list[list[tuple[int, float, int]]], models: int, workers: int
) -> None:
    def make() -> list[Detector]:
        rules = rules_of(model, dict.fromkeys(MACHINES, "pump"))
        parts = [changed(model, 1.0 + i, "broken" if i == 2 else "") for i in range(models)]
        return [Detector(part, rules, max_batch=2) for part in parts]

    assert score_rounds(make(), rounds, workers) == score_rounds(make(), rounds, 1)


def test_a_slow_model_changes_no_order_while_others_are_called() -> None:
    others = threading.Semaphore(0)

    def call(index: int) -> int:
        if index == 1:  # returns only once all the others were called meanwhile
            for _ in range(4):
                assert others.acquire(timeout=TIMEOUT_S)
        else:
            others.release()
        return index

    with scoring_threads(2) as threads:
        assert list(threads.run([[partial(call, index)] for index in range(5)])) == list(range(5))


def test_the_calls_of_a_group_are_done_one_after_the_other_and_taken_in_order() -> None:
    running, most = defaultdict[int, int](int), defaultdict[int, int](int)
    lock = threading.Lock()

    def call(group: int, index: int) -> tuple[int, int]:
        with lock:
            running[group] += 1
            most[group] = max(most[group], running[group])
        np.sort(np.random.default_rng(index).normal(size=20_000))
        with lock:
            running[group] -= 1
        return group, index

    sizes = (1, 7, 3, 12, 2)
    groups = [[partial(call, i, j) for j in range(size)] for i, size in enumerate(sizes)]
    expected = [(i, j) for i, size in enumerate(sizes) for j in range(size)]
    with scoring_threads(3) as threads:
        for _ in range(5):
            assert list(threads.run(groups)) == expected
    assert set(most.values()) == {1}


def test_a_model_that_fails_concerns_its_machine_only(model: LoadedModel) -> None:
    rules = rules_of(model, dict.fromkeys(MACHINES, "pump"))
    detectors = [
        Detector(changed(model, failure="out of memory" if name == "fan" else ""), rules)
        for name in MACHINES
    ]
    scores = score_rounds(detectors, [[(i, -26.0, i) for i in range(len(MACHINES))]] * 3, 3)
    assert {score.machine: score.quality for score in scores} == {
        name: Quality.ERROR if name == "fan" else Quality.OK for name in MACHINES
    }


def test_an_internal_error_is_raised_where_the_result_would_be() -> None:
    called: list[int] = []

    def call(index: int) -> int:
        called.append(index)
        if index == 2:
            raise KeyError("an internal error")
        return index

    with scoring_threads(2) as threads:
        results = threads.run([[partial(call, index)] for index in range(4)])
        assert [next(results), next(results)] == [0, 1]
        with pytest.raises(KeyError, match="an internal error"):
            next(results)
        assert list(threads.run([[partial(call, index)] for index in (7, 8, 9)])) == [7, 8, 9]
    assert 2 in called


def test_calls_are_abandoned_when_no_more_results_are_taken() -> None:
    closed, begun_after = threading.Event(), list[int]()

    def call(index: int) -> None:
        if closed.is_set():
            begun_after.append(index)
        elif index and threading.current_thread() is not threading.main_thread():
            closed.wait(TIMEOUT_S)

    with scoring_threads(2) as threads:
        results = threads.run([[partial(call, index)] for index in range(500)])
        next(results)
        results.close()
        closed.set()
    assert not begun_after


def test_the_batches_of_one_model_are_scored_by_the_inference_thread_alone() -> None:
    threads = ScoringThreads(4)
    before = threading.active_count()
    for _ in range(3):
        assert list(threads.run([[threading.get_ident] * 5])) == [threading.get_ident()] * 5
    assert threading.active_count() == before


def test_the_threads_end_and_use_one_thread_of_torch_each(model: LoadedModel) -> None:
    both = threading.Barrier(3)

    def call() -> tuple[str, int]:
        both.wait(TIMEOUT_S)
        return threading.current_thread().name, torch.get_num_threads()

    with scoring_threads(3) as threads:
        found = dict(threads.run([[call]] * 3))
    assert found == {threading.current_thread().name: 1, "inference-2": 1, "inference-3": 1}
    assert not [each for each in threading.enumerate() if each.name.startswith("inference-")]


def test_the_program_writes_the_same_scores_with_several_threads(tmp_path: Path) -> None:
    """The order of machines depends on when their sound arrives, that of their windows does not."""
    keys, folders = tmp_path / "keys", [tmp_path / str(workers) for workers in (1, 2)]
    models = make_own_models(save_toy(tmp_path / "toy.asd"), keys, len(MACHINES))
    machines: dict[str, object] = {}
    for number, (name, model) in enumerate(zip(MACHINES, models, strict=True)):
        recording = tmp_path / f"{name}.wav"
        sound = noise(30, -26.0 + 4 * number, seed=number).ravel()
        soundfile.write(recording, sound, RATE_HZ, subtype="PCM_24")
        wav = {"paths": [str(recording)], "paced": False}
        machines[name] = {"wav": wav, "model": str(model), "target": "pump"}
    runs = []
    for workers, folder in enumerate(folders, 1):
        folder.mkdir()
        make_state(folder / "state", keys)
        runs.append(start_program(folder, machines, workers))
    try:
        assert [run.wait(TIMEOUT_S) for run in runs] == [0, 0]
    finally:
        for run in runs:
            run.kill()
            run.wait()
    alone, shared = (read_scores(folder / "scores.jsonl") for folder in folders)
    assert {machine: len(lines) for machine, lines in alone.items()} == dict.fromkeys(MACHINES, 59)
    assert shared == alone


def start_program(
    folder: Path, machines: dict[str, object], workers: int
) -> "subprocess.Popen[bytes]":
    settings = {
        "state_dir": str(folder / "state"), "machines": machines, "web": "off",
        "prometheus": "off", "history": "off", "inference": {"workers": workers},
        "log": {"scores": str(folder / "scores.jsonl")},
    }  # fmt: skip
    path = folder / "monitor.yaml"
    path.write_text(json.dumps(settings))
    with (folder / "log").open("w") as log:
        command = [sys.executable, "-m", "asd_monitor.cli", "run", "--config", str(path)]
        return subprocess.Popen(command, stdout=log, stderr=log)


def read_scores(path: Path) -> dict[str, list[dict[str, object]]]:
    """Read the scores of each machine, without what depends on the time."""
    scores: dict[str, list[dict[str, object]]] = {}
    for line in path.read_text().splitlines():
        score = json.loads(line)
        machine = score.pop("machine")
        for key in TIMES:
            score.pop(key, None)
        scores.setdefault(machine, []).append(score)
    return scores
