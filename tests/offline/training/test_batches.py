"""Batches that are drawn where the samples are: the same ones, without a copy of each."""

from pathlib import Path

import pytest
import soundfile
import torch
from torch import nn

from asd_offline.datasets.loading import open_dataset
from asd_offline.features.cache import FeatureCache
from asd_offline.models import MODELS
from asd_offline.models.protocol import MovableSamples, Task
from asd_offline.recipes import Recipe, read_recipe
from asd_offline.training.batches import draw_on_device, move_samples, prefetch
from asd_offline.training.prepare import prepare
from tests.offline.small_sounds import RATE_HZ, hum
from tests.rig.paths import ROOT

NAMES = ("autoencoder", "anomaly_transformer", "aegan_ad")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("set")
    folder = root / "fan" / "train"
    folder.mkdir(parents=True)
    (root / "fan" / "test").mkdir()
    for number in range(4):
        sound = hum(number, 300.0, seconds=6.0)
        soundfile.write(folder / f"normal_id_00_{number:08d}.wav", sound, RATE_HZ)
        test = root / "fan" / "test" / f"normal_id_00_{number:08d}.wav"
        soundfile.write(test, hum(10 + number, 300.0, seconds=6.0), RATE_HZ)
    return root


@pytest.fixture
def make_task(dataset: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Task[nn.Module]:
    name: str = request.param
    model = MODELS[name]
    path = ROOT / "configs" / "train" / "small" / f"{name}.yaml"
    recipe: Recipe = read_recipe(path, name, model.recipe)
    prepared = prepare(model, open_dataset(dataset), recipe)
    return prepared.new_task("fan", 0, FeatureCache(tmp_path))


def batches(task: Task[nn.Module]) -> list[torch.Tensor]:
    order = torch.randperm(task.sample_count, generator=torch.Generator().manual_seed(1))
    return list(torch.split(order[:12], 5))


@pytest.mark.parametrize("make_task", NAMES, indirect=True)
def test_batches_of_moved_samples_are_the_same(make_task: Task[nn.Module]) -> None:
    assert isinstance(make_task, MovableSamples)
    chosen, generator = batches(make_task), torch.Generator()
    expected = list(prefetch(make_task, chosen, generator, CPU))
    make_task.move_samples(CPU)
    found = list(draw_on_device(make_task, chosen, generator, CPU))
    assert len(found) == len(expected) == len(chosen)
    for batch, other in zip(found, expected, strict=True):
        torch.testing.assert_close(batch, other, rtol=0, atol=0)


@pytest.mark.parametrize("make_task", NAMES, indirect=True)
def test_all_that_a_batch_is_drawn_from_is_moved(make_task: Task[nn.Module]) -> None:
    """With the device ``meta``, which computes shapes only; mixing devices would raise."""
    assert isinstance(make_task, MovableSamples)
    assert make_task.sample_bytes > 0
    chosen, device = batches(make_task), torch.device("meta")
    shapes = [make_task.draw(indices, torch.Generator())[0].shape for indices in chosen]
    make_task.move_samples(device)
    for indices, shape in zip(chosen, shapes, strict=True):
        (batch,) = make_task.draw(indices.to(device), torch.Generator())
        assert (batch.device.type, batch.shape) == ("meta", shape)


@pytest.mark.parametrize("make_task", ["autoencoder"], indirect=True)
@pytest.mark.parametrize(("free_bytes", "fits"), [(10**12, True), (10**3, False)])
def test_samples_are_moved_if_they_fit(
    make_task: Task[nn.Module], monkeypatch: pytest.MonkeyPatch, free_bytes: int, fits: bool
) -> None:
    moved: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free_bytes, 10**12))
    monkeypatch.setattr(type(make_task), "move_samples", lambda task, device: moved.append(device))
    assert not move_samples(make_task, CPU)
    assert move_samples(make_task, torch.device("cuda", 0)) is fits
    assert moved == [torch.device("cuda", 0)] * fits
