"""LoRA fine-tuning: which weights are updated, which are trained, and merging."""

from pathlib import Path

import pytest
import torch
from torch import nn

from asd_offline.models.pretrained.lora import FineTuned, LoraLinear, add_lora, merge_lora
from tests.offline.small_checkpoints import checkpoint, load_checkpoint
from tests.offline.small_sounds import hum


def lora_layers(network: nn.Module) -> list[LoraLinear]:
    return [module for module in network.modules() if isinstance(module, LoraLinear)]


@pytest.mark.parametrize(("architecture", "count"), [("beats", 4), ("ced", 2), ("eat", 2)])
def test_updates_start_at_zero_and_can_be_merged(
    tmp_path: Path, architecture: str, count: int
) -> None:
    front = load_checkpoint(checkpoint(tmp_path, architecture))
    sound = torch.from_numpy(hum(1, 500.0, 16000))[None]
    with torch.no_grad():
        before = front(sound)
        add_lora(front.transformer, 2)
        assert len(lora_layers(front)) == count
        assert torch.equal(front(sound), before)
        for layer in lora_layers(front):
            layer.up.normal_(generator=torch.Generator().manual_seed(1))
        after = front(sound)
        merged = merge_lora(front)
        assert not lora_layers(merged)
        assert len(lora_layers(front)) == count
        torch.testing.assert_close(merged(sound), after, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(after, before)


def test_queries_and_values_are_updated_but_not_keys() -> None:
    linear = nn.Linear(4, 6)
    adapted = LoraLinear(linear, 1, 3, [0, 2])
    nn.init.ones_(adapted.up)
    changed = (adapted.merged_weight() != linear.weight).all(1)
    assert changed.tolist() == [True, True, False, False, True, True]


@pytest.mark.parametrize("rank", [2, 0])
def test_only_the_updates_are_trained_or_with_rank_0_all_weights(tmp_path: Path, rank: int) -> None:
    front = load_checkpoint(checkpoint(tmp_path, "ced"))
    network = FineTuned(front, rank, 8, 3, 2).train()
    labels = torch.eye(3)
    sound = 0.1 * torch.randn(3, 16000, generator=torch.Generator().manual_seed(0))
    network(sound, labels).backward()
    parameters = dict(network.front.named_parameters())
    trained = {name for name, parameter in parameters.items() if parameter.grad is not None}
    if rank:
        assert {name.rsplit(".", 1)[1] for name in trained} == {"up", "down"}
        assert len(trained) == 2 * 2
    else:
        assert trained == set(parameters)
    assert all(parameter.grad is not None for parameter in network.head.parameters())
    assert not network.front.training
