"""In which order batches are scored: a GPU works on all of them, and is waited for at the end."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from asd_monitor.detection.detector import Detector
from asd_monitor.errors import ModelFileError
from asd_monitor.model_file import load
from asd_monitor.model_file.loaded_model import LoadedModel, Voices
from asd_monitor.records import Quality, Window
from asd_monitor.runtime import scoring_rounds
from asd_monitor.runtime.scoring_rounds import score_batches
from asd_monitor.runtime.scoring_threads import ScoringThreads
from tests.rig.toy_model import WINDOW_SAMPLES, noise, rules_of, save_toy

log: list[str] = []


class NotingModel(LoadedModel):
    """A model that notes its calls, and may be one that computes later."""

    name, later, failure = "", False, ""

    @property
    def is_asynchronous(self) -> bool:
        return self.later

    def begin_voices(
        self, windows: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]
    ) -> Callable[[], Voices]:
        log.append(f"{'begin' if self.later else 'score'} {self.name}")
        finish = super().begin_voices(windows, targets)
        if not self.later:
            return finish

        def noted() -> Voices:
            log.append(f"finish {self.name}")
            if self.failure:
                raise ModelFileError(self.failure)
            return finish()

        return noted


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(save_toy(tmp_path_factory.mktemp("model") / "toy.asd"), "cpu")


def noting(model: LoadedModel, name: str, *, later: bool, failure: str = "") -> Detector:
    noted = NotingModel(model.module, model.manifest, model.sha256, "cpu")
    noted.name, noted.later, noted.failure = name, later, failure
    return Detector(noted, rules_of(noted, {name: "pump"}))


def windows(machine: str, count: int = 3) -> list[Window]:
    return [
        Window(machine, row, i * WINDOW_SAMPLES, 1000.0 + i) for i, row in enumerate(noise(count))
    ]


def test_a_gpu_is_waited_for_after_all_batches_are_begun(model: LoadedModel) -> None:
    log.clear()
    batches = [(noting(model, name, later=name != "cpu"), windows(name)) for name in
               ("gpu 1", "cpu", "gpu 2")]  # fmt: skip
    results = list(score_batches(batches, ScoringThreads()))
    assert log == [
        "begin gpu 1", "begin gpu 2", "score cpu", "finish gpu 1", "finish gpu 2"
    ]  # fmt: skip
    plain = Detector(model, rules_of(model, {"pump": "pump"}))
    expected = [score.value for score in plain.score(windows("pump"))]
    for scored, scores in results:
        assert [score.machine for score in scores] == [window.machine for window in scored]
        assert [score.value for score in scores] == expected
        assert [score.seq for score in scores] == [0, 1, 2]
        assert all(score.inference_s > 0 for score in scores)


def test_a_failure_on_the_gpu_concerns_its_windows_only(model: LoadedModel) -> None:
    broken = noting(model, "broken", later=True, failure="out of memory")
    batches = [(broken, windows("broken")), (noting(model, "whole", later=True), windows("whole"))]
    qualities = [
        {score.quality for score in scores}
        for _, scores in score_batches(batches, ScoringThreads())
    ]
    assert qualities == [{Quality.ERROR}, {Quality.OK}]


def test_a_gpu_gets_few_batches_at_a_time(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring_rounds, "MAX_BEGUN", 2)
    log.clear()
    detector = noting(model, "gpu", later=True)
    batches = [(detector, windows("gpu", 1)) for _ in range(3)]
    scores = [score for _, part in score_batches(batches, ScoringThreads()) for score in part]
    assert log == ["begin gpu"] * 2 + ["finish gpu"] * 2 + ["begin gpu", "finish gpu"]
    assert [score.seq for score in scores] == [0, 1, 2]
