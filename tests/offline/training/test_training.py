"""The training loop: exact resume, several processes, determinism, and what can go wrong."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor, nn

from asd_monitor.errors import RunError
from asd_offline.models.protocol import Task
from asd_offline.recipes import Recipe
from asd_offline.training.checkpoints import checkpoints_in, latest_checkpoint
from asd_offline.training.distributed import Process
from asd_offline.training.loop import split_order, train_network
from tests.offline.small_sounds import CPU, Silent, make_set, new_task, prepared_set, small_recipe
from tests.rig.paths import ROOT


class Line(nn.Module):
    """Fits a straight line, with dropout so that the global random state matters."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 1))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        loss: Tensor = (self.layers(x) - y).square().mean()
        return loss


class Points:
    """A task whose batches are noisy, the noise coming from the generator."""

    def __init__(self, seed: int = 3, dropout: bool = True, samples: int = 50) -> None:
        torch.manual_seed(seed)
        self.network = Line()
        if not dropout:
            self.network.layers[2] = nn.Identity()
        self.sample_count = samples

    def draw(self, chosen: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        x = chosen[:, None].float() / self.sample_count
        return x, 2 * x + 0.01 * torch.randn(x.shape, generator=generator)


RECIPE = Recipe(
    model="points", epochs=5, batch_size=8, schedule="cosine", learning_rate=0.05, optimizer="adamw"
)


def run(
    folder: Path,
    task: Task[nn.Module] | None = None,
    recipe: Recipe = RECIPE,
    watcher: Silent | None = None,
    process: Process = CPU,
) -> nn.Module:
    return train_network(
        task or Points(),
        recipe,
        name="points",
        seed=7,
        folder=folder,
        process=process,
        watcher=_Watch(watcher or Silent()),
        keep_every_s=0.0,
    )


class _Watch:
    def __init__(self, silent: Silent) -> None:
        self.silent = silent
        self.resumed, self.batch = silent.resumed, silent.batch

    def epoch(self, epoch: object, network: nn.Module) -> None:
        torch.rand(5)  # whoever watches may use random numbers
        self.silent.epoch(epoch, network)  # type: ignore[arg-type]


def assert_equal(first: nn.Module, second: nn.Module) -> None:
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


@pytest.mark.parametrize("stop", [Silent(stop_at_epoch=2), Silent(stop_at_batch=3)])
def test_stopped_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path: Path, stop: Silent) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", watcher=stop)
    torch.manual_seed(999)  # another process starts with other random states
    second = Silent()
    resumed = run(tmp_path / "parts", watcher=second)
    assert second.started_at == 2
    assert [each.number for each in second.epochs] == [3, 4, 5]
    assert_equal(whole, resumed)


def test_the_optimiser_and_schedule_go_on_where_they_were(tmp_path: Path) -> None:
    whole, first, second = Silent(), Silent(stop_at_epoch=3), Silent()
    run(tmp_path / "whole", watcher=whole)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", watcher=first)
    run(tmp_path / "parts", watcher=second)
    together = [(e.number, e.loss, e.learning_rate) for e in (*first.epochs, *second.epochs)]
    assert together == [(e.number, e.loss, e.learning_rate) for e in whole.epochs]
    assert whole.epochs[0].learning_rate > whole.epochs[-1].learning_rate


def test_the_same_seed_gives_the_same_network_and_another_seed_another(tmp_path: Path) -> None:
    first, again = run(tmp_path / "1"), run(tmp_path / "2")
    assert_equal(first, again)
    other = train_network(
        Points(), RECIPE, name="points", seed=8, folder=tmp_path / "3", process=CPU,
        watcher=_Watch(Silent()),
    )  # fmt: skip
    assert not torch.equal(first.layers[0].weight, other.layers[0].weight)  # type: ignore[index, union-attr]


def test_a_finished_training_is_not_touched_again(tmp_path: Path) -> None:
    first = run(tmp_path)
    watcher = Silent()
    again = run(tmp_path, watcher=watcher)
    assert watcher.epochs == []
    assert_equal(first, again)


@pytest.mark.parametrize(
    ("change", "said"), [({"learning_rate": 0.1}, "learning_rate"), ({"epochs": 9}, "epochs")]
)
def test_a_checkpoint_of_another_recipe_is_refused(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    run(tmp_path)
    with pytest.raises(RunError, match=said):
        run(tmp_path, recipe=RECIPE.model_copy(update=change))


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    task = Points()
    task.network.layers[0] = nn.Linear(1, 9)
    with pytest.raises(RunError, match="does not fit"):
        run(tmp_path, task=task)


def test_a_damaged_checkpoint_costs_one_epoch_and_nothing_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", watcher=Silent(stop_at_epoch=3))
    newest = checkpoints_in(tmp_path / "parts")[0]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 4
    newest.write_bytes(content)
    second = Silent()
    assert_equal(whole, run(tmp_path / "parts", watcher=second))
    assert second.started_at == 2
    assert "damaged" in caplog.text


def test_if_every_checkpoint_is_damaged_that_is_said_and_nothing_is_removed(tmp_path: Path) -> None:
    run(tmp_path)
    for path in checkpoints_in(tmp_path):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match=r"damaged.*none before it"):
        run(tmp_path)
    assert len(checkpoints_in(tmp_path)) == 2


def test_a_checkpoint_of_another_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_offline.training.checkpoints.FORMAT_VERSION", 99)
    run(tmp_path)
    monkeypatch.undo()
    with pytest.raises(RunError, match="version 1, found 99"):
        run(tmp_path)


def test_a_loss_that_is_not_finite_stops_the_training_and_keeps_what_was_good(
    tmp_path: Path,
) -> None:
    class Broken(Points):
        drawn = 0

        def draw(self, chosen: Tensor, generator: Generator) -> tuple[Tensor, ...]:
            self.drawn += 1
            x, y = super().draw(chosen, generator)
            return x, y * (torch.inf if self.drawn > 20 else 1.0)

    with pytest.raises(RunError, match="not finite in epoch 3"):
        run(tmp_path, task=Broken())
    kept = latest_checkpoint(tmp_path)
    assert kept is not None
    assert kept["epoch"] == 2


def test_batches_cover_an_epoch_and_no_batch_is_a_single_sample() -> None:
    order = torch.randperm(50)
    assert torch.equal(torch.cat(split_order(order, 8, CPU)), order)
    assert [len(each) for each in split_order(order[:17], 8, CPU)] == [8, 8]
    assert [len(each) for each in split_order(order[:1], 8, CPU)] == [1]
    shares = [split_order(order[:49], 8, Process(torch.device("cpu"), r, 2)) for r in (0, 1)]
    assert [len(each) for each in shares[0]] == [len(each) for each in shares[1]] == [4] * 6
    assert torch.equal(torch.cat([*shares[0], *shares[1]]).sort().values, order[:48].sort().values)


class Quiet(Points):
    """The same task without anything random but the order."""

    def __init__(self) -> None:
        super().__init__(dropout=False, samples=48)

    def draw(self, chosen: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        x = chosen[:, None].float() / self.sample_count
        return x, 2 * x


SCRIPT = """
import sys, torch
from pathlib import Path
from asd_offline.training.distributed import joined
from tests.offline.training.test_training import Quiet, run
with joined("cpu") as process:
    network = run(Path(sys.argv[1]), task=Quiet(), process=process)
    torch.save(network.state_dict(), Path(sys.argv[1]) / f"rank{process.rank}.pt")
"""


def test_two_processes_train_the_network_that_one_would(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    # What torchrun gives to the processes that it starts.
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path)],
            cwd=ROOT,
            env={**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    alone = run(tmp_path / "alone", task=Quiet())
    for each in started:
        _, told = each.communicate(timeout=150)
        assert each.returncode == 0, told[-2000:]
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    for name, value in ranks[0].items():
        assert torch.equal(value, ranks[1][name]), name
        assert torch.allclose(value, alone.state_dict()[name], atol=1e-4), name
    kept = latest_checkpoint(tmp_path)
    assert kept is not None
    assert len(kept["random"]) == 2


def test_the_autoencoder_is_resumed_bit_for_bit_too(tmp_path: Path) -> None:
    recipe = small_recipe(epochs=3)
    prepared, features = prepared_set(make_set(tmp_path / "set"), tmp_path / "cache", recipe)
    networks = []
    for name, stops in (("whole", [0]), ("parts", [1, 2, 0])):
        for stop in stops:
            task = new_task(prepared, features)
            try:
                network = train_network(
                    task, recipe, name="fan", seed=0, folder=tmp_path / name, process=CPU,
                    watcher=_Watch(Silent(stop_at_epoch=stop)), keep_every_s=0.0,
                )  # fmt: skip
                networks.append(network)
            except KeyboardInterrupt:
                torch.manual_seed(stop)
    assert_equal(networks[0], networks[1])
