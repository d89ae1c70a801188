"""A model on a GPU is called at every batch size first, and compared with the CPU."""

from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asd_monitor.model_file import load
from asd_monitor.model_file.device_choice import choose_faster, make_first_calls
from asd_monitor.model_file.loaded_model import LoadedModel
from tests.rig.toy_model import save_toy


class CountedModel(LoadedModel):
    """The toy model, whose calls take a time on a fake clock and are recorded."""

    def __init__(self, path: Path, seconds: float) -> None:
        real = load(path, "cpu")
        super().__init__(real.module, real.manifest, real.sha256, "cpu")
        self.seconds = seconds
        self.batches: list[int] = []
        self.now_s = [0.0]

    def score(
        self, windows: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        self.batches.append(len(windows))
        self.now_s[0] += self.seconds
        return super().score(windows, targets)


def test_every_batch_size_of_the_monitor_is_called_before_it_is_used(tmp_path: Path) -> None:
    from asd_monitor.detection.detector import MAX_BATCH

    model = CountedModel(save_toy(tmp_path / "toy.asd"), 0.0)
    make_first_calls(model)
    assert sorted(set(model.batches)) == list(range(1, MAX_BATCH + 1))
    assert all(model.batches.count(batch) >= 2 for batch in model.batches)


def test_auto_takes_the_device_that_scores_faster(tmp_path: Path) -> None:
    path = save_toy(tmp_path / "toy.asd")
    for gpu_s, cpu_s in ((0.001, 0.004), (0.004, 0.001)):
        on_gpu, on_cpu = CountedModel(path, gpu_s), CountedModel(path, cpu_s)
        on_cpu.now_s = on_gpu.now_s
        chosen = choose_faster(on_gpu, on_cpu, partial(on_gpu.now_s.__getitem__, 0))
        assert chosen is (on_gpu if gpu_s < cpu_s else on_cpu)
