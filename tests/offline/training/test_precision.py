"""Training in bfloat16: as accurate as in float32 where it matters, and resumed in either."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from asd_monitor.progress import NoProgress
from asd_offline.models.autoencoder.network import CentredLinear, ReconstructionLoss
from asd_offline.training.loop import Trainer
from asd_offline.training.precision import cpu_has_bfloat16, training_precision
from tests.offline.small_sounds import (
    CPU,
    FakeRecorder,
    make_set,
    new_task,
    prepared_set,
    small_recipe,
)


def new_network(**changes: object) -> ReconstructionLoss:
    """Return a network with biases that are not zero, as the 2023 baseline starts."""
    torch.manual_seed(0)
    return ReconstructionLoss(small_recipe(weight_init="torch", **changes)).train()


def decibels(count: int, seed: int, dims: int = 80) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    levels = torch.randn(count, 3, generator=random) @ torch.randn(3, dims, generator=random)
    return 4 * levels + torch.randn(count, dims, generator=random) - 40


def bfloat16(enabled: bool = True) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled)


def test_a_centred_layer_is_a_linear_layer_and_loses_less_in_bfloat16() -> None:
    torch.manual_seed(0)
    centred = CentredLinear(80, 16)
    plain = nn.Linear(80, 16)
    plain.load_state_dict(centred.state_dict())
    vectors = decibels(256, 0)
    exact = copy.deepcopy(plain).double()(vectors.double())
    torch.testing.assert_close(centred(vectors).double(), exact, rtol=1e-4, atol=1e-4)
    with bfloat16(), torch.no_grad():
        errors = [float((layer(vectors) - exact).norm()) for layer in (centred, plain)]
    assert errors[0] < 0.5 * errors[1]


def test_in_bfloat16_loss_and_gradients_are_nearly_the_same() -> None:
    networks = new_network(hidden=64), new_network(hidden=64)
    vectors = decibels(512, 1)
    losses = []
    for network, rounded in zip(networks, (False, True), strict=True):
        with bfloat16(rounded):
            loss = network(vectors)
        loss.backward()
        losses.append(loss.detach())
    assert losses[0] != losses[1]  # the second was rounded
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-3, atol=0)
    names = [name for name, _ in networks[0].named_parameters() if name.endswith("weight")]
    for name in names:
        exact, approximate = (network.get_parameter(name).grad for network in networks)
        assert exact is not None
        assert approximate is not None
        assert approximate.dtype == torch.float32
        assert float(cosine_similarity(exact.flatten(), approximate.flatten(), 0)) > 0.85, name


def test_in_bfloat16_the_loss_falls_as_far_as_in_float32() -> None:
    final_losses = []
    vectors = decibels(600, 2)
    for rounded in (False, True):
        network = new_network()
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01, fused=True)
        losses = []
        for _ in range(25):
            for batch in torch.split(vectors, 100):
                optimizer.zero_grad()
                with bfloat16(rounded):
                    loss = network(batch)
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
        network.eval()
        with torch.no_grad():
            final_losses.append(float(network(vectors)))
        assert losses[-1] < 0.1 * losses[0]
    assert final_losses[1] == pytest.approx(final_losses[0], rel=0.15)


def train(
    folder: Path, set_folder: Path, stop: int, precision: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[nn.Module, FakeRecorder]:
    monkeypatch.setattr(
        "asd_offline.training.precision.cpu_has_bfloat16", lambda: precision == "bfloat16"
    )
    recipe = small_recipe(epochs=4)
    prepared, features = prepared_set(set_folder, set_folder.parent / "cache", recipe)
    task, recorder = new_task(prepared, features), FakeRecorder(stop_at_epoch=stop)
    trainer = Trainer(
        task, recipe, name="fan", seed=0, folder=folder, process=CPU, checkpoint_interval_s=0.0
    )
    try:
        trainer.train(recorder, NoProgress())
    except KeyboardInterrupt:
        torch.manual_seed(99)
    return task.network, recorder


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_resumed_in_either_precision_equals_uninterrupted(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_set(tmp_path / "set")
    uninterrupted, recorder = train(tmp_path / "uninterrupted", dataset, 0, precision, monkeypatch)
    train(tmp_path / "parts", dataset, 2, precision, monkeypatch)
    resumed, _ = train(tmp_path / "parts", dataset, 0, precision, monkeypatch)
    assert {result.precision for result in recorder.results} == {precision}
    for name, value in uninterrupted.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_run_resumes_in_the_precision_of_another_computer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_set(tmp_path / "set")
    _, alone = train(tmp_path / "alone", dataset, 0, "float32", monkeypatch)
    _, first = train(tmp_path / "run", dataset, 2, "bfloat16", monkeypatch)
    _, second = train(tmp_path / "run", dataset, 0, "float32", monkeypatch)
    assert second.resumed_at == 2
    assert [result.precision for result in (*first.results, *second.results)] == [
        "bfloat16"
    ] * 2 + ["float32"] * 2
    assert second.results[-1].loss == pytest.approx(alone.results[-1].loss, rel=0.02)


def test_a_recipe_can_ask_for_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asd_offline.training.precision.cpu_has_bfloat16", lambda: True)
    assert training_precision(small_recipe(), CPU.device) == torch.bfloat16
    assert training_precision(small_recipe(cpu_bfloat16=False), CPU.device) == torch.float32


def test_bfloat16_is_off_if_torch_cannot_report_cpu_capabilities(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": True})
    assert cpu_has_bfloat16()
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx2": True})
    assert not cpu_has_bfloat16()
    monkeypatch.delattr("torch.cpu.get_capabilities")
    assert not cpu_has_bfloat16()
