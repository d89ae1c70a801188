"""Adam over one stretch of memory: torch's numbers, and torch's checkpoints."""

import io
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from asd_offline.training.flat_adam import FlatAdam

SETTINGS: list[dict[str, Any]] = [
    {"lr": 0.01},
    {"lr": 0.02, "weight_decay": 0.1},
    {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True, "betas": (0.5, 0.9)},
]


def new_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Tanh(), nn.Linear(7, 3))


def learn(network: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    schedule = CosineAnnealingLR(optimizer, 50)
    for number in steps:
        vectors = torch.randn(16, 5, generator=torch.Generator().manual_seed(number))
        optimizer.zero_grad()
        network(vectors).square().mean().backward()
        optimizer.step()
        schedule.step()


def assert_close(one: nn.Module, other: nn.Module) -> None:
    for name, value in one.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[name], msg=name)


def through_a_file(state: dict[str, Any]) -> Any:  # noqa: ANN401
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("settings", SETTINGS)
def test_it_does_what_torchs_adam_does(settings: dict[str, Any]) -> None:
    flat, plain = new_network(), new_network()
    learn(flat, FlatAdam(flat.parameters(), fused=True, **settings), range(20))
    learn(plain, torch.optim.Adam(plain.parameters(), fused=True, **settings), range(20))
    assert_close(flat, plain)


@pytest.mark.parametrize("kinds", [(FlatAdam, torch.optim.Adam), (torch.optim.Adam, FlatAdam)])
@pytest.mark.parametrize("settings", SETTINGS)
def test_each_goes_on_from_the_others_checkpoint(
    kinds: tuple[type[torch.optim.Adam], ...], settings: dict[str, Any]
) -> None:
    first, second, whole = new_network(), new_network(), new_network()
    before = kinds[0](first.parameters(), fused=True, **settings)
    learn(first, before, range(10))
    kept = through_a_file({"weights": first.state_dict(), "optimizer": before.state_dict()})
    after = kinds[1](second.parameters(), fused=True, **settings)
    second.load_state_dict(kept["weights"])
    after.load_state_dict(kept["optimizer"])
    learn(second, after, range(10, 20))
    one = torch.optim.Adam(whole.parameters(), fused=True, **settings)
    learn(whole, one, range(10))
    learn(whole, one, range(10, 20))
    assert_close(second, whole)
    steps = [float(each["step"]) for each in after.state_dict()["state"].values()]
    assert steps == [20.0] * 6


def test_weights_gradients_and_moments_stay_in_one_stretch() -> None:
    network = new_network()
    optimizer = FlatAdam(network.parameters(), lr=0.1, fused=True)
    learn(network, optimizer, range(3))
    optimizer.load_state_dict(through_a_file(optimizer.state_dict()))
    learn(network, optimizer, range(3, 5))
    for stretch in (
        list(network.parameters()),
        [each.grad for each in network.parameters()],
        [optimizer.state[each]["exp_avg"] for each in network.parameters()],
    ):
        assert len({each.untyped_storage().data_ptr() for each in stretch if each is not None}) == 1
