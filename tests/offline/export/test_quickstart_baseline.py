"""The comparison with the quick start is fair and repeatable."""

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor, nn

from asd_offline.datasets.loading import open_dataset
from asd_offline.datasets.targets import Target, plan_targets
from asd_offline.export.quickstart_baseline import Comparison, compare_with_quickstart
from asd_offline.recipes import Recipe
from tests.offline.small_sounds import RATE_HZ, hum

RECIPE = Recipe(model="test", sample_rate_hz=RATE_HZ, window_s=2.0, hop_s=2.0)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    folder = tmp_path_factory.mktemp("press") / "press" / "train"
    folder.mkdir(parents=True)
    for number in range(16):
        sound = hum(number, 500.0, seconds=2.0)
        soundfile.write(folder / f"{number:02}.wav", sound, RATE_HZ, "PCM_16")
    return plan_targets(open_dataset(folder.parent).clips)[0]


class Distance(nn.Module):
    """Distance of a window's spectrum from that of a clean hum, which reveals any fault."""

    def __init__(self, sign: float) -> None:
        super().__init__()
        self.sign = sign

    def forward(self, waveform: Tensor, _: Tensor) -> Tensor:
        clean = torch.from_numpy(hum(0, 500.0, seconds=2.0)).numpy()
        spectrum = np.abs(np.fft.rfft(clean))
        spectra = np.abs(np.fft.rfft(waveform.numpy(), axis=1))
        return self.sign * torch.from_numpy(np.abs(spectra - spectrum).mean(1))


def test_a_perfect_detector_beats_the_quick_start_and_a_perverse_one_does_not(
    target: Target,
) -> None:
    good = compare_with_quickstart(Distance(1.0), 0, target, RECIPE)
    bad = compare_with_quickstart(Distance(-1.0), 0, target, RECIPE)
    assert good is not None
    assert bad is not None
    assert good.clips == len(target.held_out)
    assert good.means[0] > 0.8
    assert bad.means[0] < 0.2
    assert "does not beat" in bad.verdict
    assert good.quickstart == bad.quickstart  # the same faults each time
    assert set(good.trained) == set(good.quickstart)


def test_a_negligible_gain_is_not_a_better_detector() -> None:
    def verdict(auc: float) -> str:
        return Comparison({"whine": auc}, {"whine": 0.8}, 10).verdict

    assert verdict(0.805).startswith("does not beat the quick-start detector")
    assert verdict(0.85).startswith("beats the quick-start detector: mean AUC 0.850 against 0.800")


def test_too_little_sound_for_a_quick_start_gives_no_comparison(target: Target) -> None:
    few = Target(target.name, target.machine, target.clips[:3], target.held_out)
    assert compare_with_quickstart(Distance(1.0), 0, few, RECIPE) is None
