"""Fine-tuning of published transformers: what is added, what is trained, what is merged."""

from pathlib import Path

import pytest
import torch
from torch import nn

from asd_offline.models.pretrained.architectures import load_front_end
from asd_offline.models.pretrained.lora import (
    FineTuned,
    LowRank,
    add_low_rank,
    without_additions,
)
from tests.offline.small_checkpoints import checkpoint, sha256
from tests.offline.small_sounds import hum


def additions(network: nn.Module) -> list[LowRank]:
    return [each for each in network.modules() if isinstance(each, LowRank)]


@pytest.mark.parametrize(("architecture", "count"), [("beats", 4), ("ced", 2), ("eat", 2)])
def test_additions_change_nothing_at_first_and_can_be_merged(
    tmp_path: Path, architecture: str, count: int
) -> None:
    path = checkpoint(tmp_path, architecture)
    front = load_front_end(path, sha256(path), "auto")
    sound = torch.from_numpy(hum(1, 500.0, 16000))[None]
    with torch.no_grad():
        before = front(sound)
        add_low_rank(front.transformer, 2)
        assert len(additions(front)) == count
        assert torch.equal(front(sound), before)
        for each in additions(front):
            each.up.normal_(generator=torch.Generator().manual_seed(1))
        after = front(sound)
        merged = without_additions(front)
        assert not additions(merged)
        assert len(additions(front)) == count
        torch.testing.assert_close(merged(sound), after, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(after, before)


def test_of_queries_keys_and_values_keys_stay_as_they_are() -> None:
    linear = nn.Linear(4, 6)
    adapted = LowRank(linear, 1, 3, [0, 2])
    nn.init.ones_(adapted.up)
    changed = (adapted.merged() != linear.weight).all(1)
    assert changed.tolist() == [True, True, False, False, True, True]


@pytest.mark.parametrize("rank", [2, 0])
def test_gradients_reach_the_additions_or_all_weights_and_nothing_else(
    tmp_path: Path, rank: int
) -> None:
    path = checkpoint(tmp_path, "ced")
    network = FineTuned(load_front_end(path, sha256(path), "auto"), rank, 8, 3, 2).train()
    labels = torch.eye(3)
    sound = 0.1 * torch.randn(3, 16000, generator=torch.Generator().manual_seed(0))
    network(sound, labels).backward()
    trained = {name for name, each in network.front.named_parameters() if each.grad is not None}
    kinds = {name.rsplit(".", 1)[1] for name in trained}
    if rank:
        assert kinds == {"up", "down"}
        assert len(trained) == 2 * 2
    else:
        assert trained == {name for name, _ in network.front.named_parameters()}
    assert all(each.grad is not None for each in network.head.parameters())
    assert not network.front.training
