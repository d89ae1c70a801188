"""Batch normalisation's statistics are recomputed with the final weights on all samples."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from asd_offline.training.batch_norm import recompute_bn_statistics
from asd_offline.training.run import train
from tests.offline.model_files import small_recipe
from tests.offline.small_sounds import CPU, FakeProgress, make_set, request


class Normed(nn.Module):
    """A linear layer followed by batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 5)
        self.norm = nn.BatchNorm1d(5, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.layer(x))
        return out


def test_statistics_become_the_mean_over_the_batches_and_weights_stay() -> None:
    torch.manual_seed(0)
    network = Normed()
    before = [parameter.clone() for parameter in network.parameters()]
    batches = [torch.randn(16, 3) + 4.0 for _ in range(6)]
    recompute_bn_statistics(network, [(batch,) for batch in batches])
    with torch.no_grad():
        outputs = [network.layer(batch) for batch in batches]
    mean = torch.stack([output.mean(0) for output in outputs]).mean(0)
    variance = torch.stack([output.var(0) for output in outputs]).mean(0)
    torch.testing.assert_close(network.norm.running_mean, mean)
    torch.testing.assert_close(network.norm.running_var, variance)
    assert network.norm.momentum == 0.01
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_stopped_and_resumed_training_gives_the_same_statistics(tmp_path: Path) -> None:
    sounds = make_set(tmp_path / "sounds", ("fan",), ("00", "04"), clips=6)
    settings = {"recompute_batch_norm": True, "batch_norm_momentum": 0.001}
    weights_of_runs = []
    for name, stop in (("straight", 0), ("stopped", 1), ("plain", 0)):
        settings["recompute_batch_norm"] = name != "plain"
        recipe = small_recipe(tmp_path / name, "mobilenetv2", **settings)
        training = request(tmp_path / name, sounds, model="mobilenetv2", recipe=recipe)
        if stop:
            try:
                train(training, CPU, FakeProgress(stop_at_epoch=stop))
            except KeyboardInterrupt:
                training = replace(training, resume=True)
        train(training, CPU, FakeProgress())
        newest = max((tmp_path / name / "run" / "networks" / "fan").glob("epoch-*.pt"))
        weights_of_runs.append(torch.load(newest, weights_only=True)["weights"])
    straight, stopped, plain = weights_of_runs
    statistics = [name for name in straight if name.endswith("running_mean")]
    assert all(torch.equal(straight[name], stopped[name]) for name in straight)
    assert not any(torch.equal(straight[name], plain[name]) for name in statistics)
    weights = [name for name in straight if name.endswith(".weight")]
    assert all(torch.equal(straight[name], plain[name]) for name in weights)
