"""The autoencoder's step by hand: the numbers of autograd, in whatever precision."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from asd_offline.models.autoencoder.cpu_step import DenseStep, cpu_has_bfloat16
from asd_offline.models.autoencoder.mse import DenseAutoencoder, ReconstructionLoss
from asd_offline.training.flat_adam import FlatAdam
from asd_offline.training.loop import train_network
from tests.offline.small_sounds import CPU, Silent, make_set, new_task, prepared_set, small_recipe


def new_network(**changes: object) -> ReconstructionLoss:
    """Return a network with biases that are not zero, as the 2023 baseline starts."""
    torch.manual_seed(0)
    return ReconstructionLoss(small_recipe(start="torch", **changes)).train()


def decibels(count: int, seed: int, dims: int = 80) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    levels = torch.randn(count, 3, generator=random) @ torch.randn(3, dims, generator=random)
    return 4 * levels + torch.randn(count, dims, generator=random) - 40


def gradients(network: nn.Module) -> list[Tensor]:
    return [each.grad for each in network.parameters() if each.grad is not None]


@pytest.mark.parametrize(
    ("precision", "close", "counts"),
    # The last batch of an epoch is smaller. To normalise two vectors multiplies rounding errors.
    [(torch.float64, 1e-9, (64, 64, 7, 2)), (torch.float32, 1e-4, (64, 64, 40))],
)
def test_loss_gradients_and_statistics_are_those_of_autograd_in_float64(
    precision: torch.dtype, close: float, counts: tuple[int, ...]
) -> None:
    expected = new_network().double()
    network = copy.deepcopy(expected).to(precision)
    step = DenseStep(network, precision)
    for seed, count in enumerate(counts):
        vectors = decibels(count, seed)
        expected.zero_grad()
        loss = expected(vectors.double())
        loss.backward()
        found = step(vectors.to(precision)).double()
        torch.testing.assert_close(found, loss.detach(), rtol=close, atol=0)
        pairs = zip(gradients(network), gradients(expected), strict=True)
        largest = max(float(each.abs().max()) for each in gradients(expected))
        for one, other in pairs:
            torch.testing.assert_close(one.double(), other, rtol=0, atol=close * largest)
    for name, value in expected.state_dict().items():
        found = network.state_dict()[name].to(value.dtype)
        torch.testing.assert_close(found, value, rtol=close, atol=close * 1e-2, msg=name)


def test_in_bfloat16_loss_and_gradients_are_nearly_the_same() -> None:
    exact, rounded = new_network(hidden=64), new_network(hidden=64)
    vectors = decibels(512, 1)
    losses = [
        DenseStep(network, precision)(vectors)
        for network, precision in ((exact, torch.float32), (rounded, torch.bfloat16))
    ]
    assert losses[0] != losses[1]  # rounded indeed
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-3, atol=0)
    for one, other in zip(gradients(exact), gradients(rounded), strict=True):
        assert other.dtype == torch.float32
        assert one.norm() == 0 or float(cosine_similarity(one.flatten(), other.flatten(), 0)) > 0.85


def test_in_bfloat16_the_loss_falls_as_far_as_in_float32() -> None:
    ends = []
    vectors = decibels(600, 2)
    for precision in (torch.float32, torch.bfloat16):
        network = new_network()
        optimizer, step = FlatAdam(network.parameters(), lr=0.01), DenseStep(network, precision)
        first = float(step(vectors))
        for _ in range(25):
            for batch in torch.split(vectors, 100):
                last = step(batch)
                optimizer.step()
        network.eval()
        with torch.no_grad():
            ends.append(float(network(vectors)))
        assert float(last) < 0.1 * first
    assert ends[1] == pytest.approx(ends[0], rel=0.15)


def test_a_single_vector_is_refused() -> None:
    with pytest.raises(ValueError, match="two vectors, found 1"):
        DenseStep(new_network(), torch.float32)(decibels(1, 0))


def _train(
    folder: Path, set_folder: Path, stop: int, precision: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[DenseAutoencoder, Silent]:
    monkeypatch.setattr(
        "asd_offline.models.autoencoder.mse.cpu_has_bfloat16", lambda: precision == "bfloat16"
    )
    recipe = small_recipe(epochs=4)
    prepared, features = prepared_set(set_folder, set_folder.parent / "cache", recipe)
    task, watcher = new_task(prepared, features), Silent(stop_at_epoch=stop)
    try:
        train_network(
            task, recipe, name="fan", seed=0, folder=folder, process=CPU, watcher=watcher,
            keep_every_s=0.0,
        )  # fmt: skip
    except KeyboardInterrupt:
        torch.manual_seed(99)
    network: DenseAutoencoder = task.network.autoencoder  # type: ignore[assignment]
    return network, watcher


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_resumed_in_either_precision_equals_uninterrupted(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_set(tmp_path / "set")
    whole, watcher = _train(tmp_path / "whole", made, 0, precision, monkeypatch)
    _train(tmp_path / "parts", made, 2, precision, monkeypatch)
    resumed, _ = _train(tmp_path / "parts", made, 0, precision, monkeypatch)
    assert {each.precision for each in watcher.epochs} == {precision}
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_run_goes_on_in_what_another_computer_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_set(tmp_path / "set")
    _, alone = _train(tmp_path / "alone", made, 0, "float32", monkeypatch)
    _, first = _train(tmp_path / "run", made, 2, "bfloat16", monkeypatch)
    _, second = _train(tmp_path / "run", made, 0, "float32", monkeypatch)
    assert second.started_at == 2
    assert [e.precision for e in (*first.epochs, *second.epochs)] == ["bfloat16"] * 2 + [
        "float32"
    ] * 2
    assert second.epochs[-1].loss == pytest.approx(alone.epochs[-1].loss, rel=0.02)


def test_whole_precision_can_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asd_offline.models.autoencoder.mse.cpu_has_bfloat16", lambda: True)
    recipe = small_recipe(epochs=1, cpu_bfloat16=False)
    prepared, features = prepared_set(make_set(tmp_path / "set"), tmp_path / "cache", recipe)
    watcher = Silent()
    train_network(
        new_task(prepared, features), recipe, name="fan", seed=0, folder=tmp_path / "run",
        process=CPU, watcher=watcher,
    )  # fmt: skip
    assert watcher.epochs[0].precision == "float32"


def test_a_torch_that_cannot_tell_has_no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": True})
    assert cpu_has_bfloat16()
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx2": True})
    assert not cpu_has_bfloat16()
    monkeypatch.delattr("torch.cpu.get_capabilities")
    assert not cpu_has_bfloat16()
