"""The training loop: exact resume, several processes, determinism, and what can go wrong."""

import os
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor, nn

from asd_monitor.errors import ConfigError, DatasetError, RunError
from asd_monitor.progress import NoProgress, Progress
from asd_offline.models.protocol import Task
from asd_offline.recipes import Recipe
from asd_offline.training.batches import split_order
from asd_offline.training.checkpoints import latest_checkpoint, list_checkpoints
from asd_offline.training.distributed import Process, join_process_group
from asd_offline.training.loop import Trainer
from asd_offline.training.run import TrainRequest, train
from tests.offline.small_sounds import (
    CPU,
    FakeRecorder,
    make_set,
    new_task,
    prepared_set,
    small_recipe,
)
from tests.rig import forked


class Line(nn.Module):
    """A network for a straight line, with dropout so that the global random state matters."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 1))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        loss: Tensor = (self.layers(x) - y).square().mean()
        return loss


class Points:
    """A task of points on a line with noise from the generator."""

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
    recorder: FakeRecorder | None = None,
    progress: Progress | None = None,
    process: Process = CPU,
    name: str = "points",
    seed: int = 7,
) -> nn.Module:
    trainer = Trainer(
        task or Points(),
        recipe,
        name=name,
        seed=seed,
        folder=folder,
        process=process,
        checkpoint_interval_s=0.0,
    )
    return trainer.train(recorder or FakeRecorder(), progress or NoProgress())


class StopInEpoch(NoProgress):
    """Progress that interrupts training within an epoch, as Ctrl-C does."""

    def __init__(self, number: int) -> None:
        self._number = number

    def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
        if done > self._number - 0.5:
            raise KeyboardInterrupt


def assert_equal(first: nn.Module, second: nn.Module) -> None:
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


@pytest.mark.parametrize(
    ("recorder", "progress"),
    [(FakeRecorder(stop_at_epoch=2), NoProgress()), (FakeRecorder(), StopInEpoch(3))],
)
def test_stopped_and_resumed_equals_uninterrupted_bit_for_bit(
    tmp_path: Path, recorder: FakeRecorder, progress: Progress
) -> None:
    uninterrupted = run(tmp_path / "uninterrupted")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", recorder=recorder, progress=progress)
    torch.manual_seed(999)  # another process starts with other random states
    second = FakeRecorder()
    resumed = run(tmp_path / "parts", recorder=second)
    assert second.resumed_at == 2
    assert [result.number for result in second.results] == [3, 4, 5]
    assert_equal(uninterrupted, resumed)


def test_optimiser_and_schedule_are_resumed(tmp_path: Path) -> None:
    uninterrupted, first, second = FakeRecorder(), FakeRecorder(stop_at_epoch=3), FakeRecorder()
    run(tmp_path / "uninterrupted", recorder=uninterrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", recorder=first)
    run(tmp_path / "parts", recorder=second)
    parts = [(r.number, r.loss, r.learning_rate) for r in (*first.results, *second.results)]
    assert parts == [(r.number, r.loss, r.learning_rate) for r in uninterrupted.results]
    assert uninterrupted.results[0].learning_rate > uninterrupted.results[-1].learning_rate


def test_the_same_seed_gives_the_same_network_and_another_seed_another(tmp_path: Path) -> None:
    first, again, other = (run(tmp_path / str(i), seed=seed) for i, seed in enumerate((7, 7, 8)))
    assert_equal(first, again)
    weights = [network.state_dict()["layers.0.weight"] for network in (first, other)]
    assert not torch.equal(*weights)


def test_a_finished_training_is_not_changed(tmp_path: Path) -> None:
    first = run(tmp_path)
    recorder = FakeRecorder()
    again = run(tmp_path, recorder=recorder)
    assert recorder.results == []
    assert_equal(first, again)


@pytest.mark.parametrize(
    ("change", "message"), [({"learning_rate": 0.1}, "learning_rate"), ({"epochs": 9}, "epochs")]
)
def test_a_checkpoint_of_another_recipe_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    run(tmp_path)
    with pytest.raises(RunError, match=message):
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
    uninterrupted = run(tmp_path / "uninterrupted")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", recorder=FakeRecorder(stop_at_epoch=3))
    newest = list_checkpoints(tmp_path / "parts")[0]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 4
    newest.write_bytes(content)
    second = FakeRecorder()
    assert_equal(uninterrupted, run(tmp_path / "parts", recorder=second))
    assert second.resumed_at == 2
    assert "damaged" in caplog.text


def test_a_training_with_damaged_checkpoints_only_is_refused_and_keeps_them(
    tmp_path: Path,
) -> None:
    run(tmp_path)
    for path in list_checkpoints(tmp_path):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match=r"damaged.*none before it"):
        run(tmp_path)
    assert len(list_checkpoints(tmp_path)) == 2


def test_a_checkpoint_of_another_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_offline.training.checkpoints.FORMAT_VERSION", 99)
    run(tmp_path)
    monkeypatch.undo()
    with pytest.raises(RunError, match="version 1, found 99"):
        run(tmp_path)


def test_a_loss_that_is_not_finite_stops_the_training_and_keeps_the_last_checkpoint(
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
    checkpoint = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint["epoch"] == 2


def test_batches_cover_an_epoch_and_no_batch_is_a_single_sample() -> None:
    order = torch.randperm(50)
    assert torch.equal(torch.cat(split_order(order, 8, CPU)), order)
    assert [len(batch) for batch in split_order(order[:17], 8, CPU)] == [8, 8]
    assert [len(batch) for batch in split_order(order[:1], 8, CPU)] == [1]
    shares = [split_order(order[:49], 8, Process(torch.device("cpu"), r, 2)) for r in (0, 1)]
    assert [len(batch) for batch in shares[0]] == [len(batch) for batch in shares[1]] == [4] * 6
    assert torch.equal(torch.cat([*shares[0], *shares[1]]).sort().values, order[:48].sort().values)


class Normalised(Points):
    """The same task with batch normalisation."""

    def __init__(self, samples: int) -> None:
        super().__init__(samples=samples)
        self.network.layers[1] = nn.BatchNorm1d(8)


def train_small_batches(dataset: Path, stderr: Path, environment: dict[str, str]) -> None:
    """Train on a set with batches of a single sample per process, and write down the error."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    recipe = stderr.with_suffix(".yaml")
    recipe.write_text("model: autoencoder\nepochs: 1\nbatch_size: 3\n")
    request = TrainRequest(
        "autoencoder", dataset, dataset / "run", dataset / "cache", recipe=recipe
    )
    with join_process_group("cpu") as process:
        try:
            train(request, process, NoProgress())
        except ConfigError as error:
            stderr.write_text(str(error))


def test_every_process_reports_batches_of_a_single_sample(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "set")
    processes = [
        forked.start(train_small_batches, dataset, tmp_path / f"error{rank}", environment)
        for rank, environment in enumerate(forked.distributed_environments(2))
    ]
    for rank, process in enumerate(processes):
        process.join(400)
        assert process.exitcode == 0
        error = (tmp_path / f"error{rank}").read_text()
        assert "batch_size: expected at least 4, two samples for each of 2 processes" in error
    assert not (dataset / "run").exists()


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_too_few_samples_for_the_processes_are_an_error(tmp_path: Path, samples: int) -> None:
    process = Process(torch.device("cpu"), 0, 2)
    with pytest.raises(DatasetError, match=f"at least 4 training samples .* found {samples}"):
        run(tmp_path, task=Points(samples=samples), process=process)


def test_a_single_sample_is_an_error_with_batch_normalisation_only(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="at least 2 training samples, because of batch norm"):
        run(tmp_path, task=Normalised(1))
    run(tmp_path / "two", task=Normalised(2))
    run(tmp_path / "without", task=Points(samples=1))


class NoiselessPoints(Points):
    """The same task, random only in the order of samples."""

    def __init__(self) -> None:
        super().__init__(dropout=False, samples=48)

    def draw(self, chosen: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        x = chosen[:, None].float() / self.sample_count
        return x, 2 * x


def train_in_group(folder: Path, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    with join_process_group("cpu") as process:
        network = run(folder, task=NoiselessPoints(), process=process)
        torch.save(network.state_dict(), folder / f"rank{process.rank}.pt")


def test_two_processes_train_the_network_that_one_would(tmp_path: Path) -> None:
    processes = [
        forked.start(train_in_group, tmp_path, environment)
        for environment in forked.distributed_environments(2)
    ]
    alone = run(tmp_path / "alone", task=NoiselessPoints())
    for process in processes:
        process.join(400)
        assert process.exitcode == 0
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    for name, value in ranks[0].items():
        assert torch.equal(value, ranks[1][name]), name
        assert torch.allclose(value, alone.state_dict()[name], atol=1e-4), name
    checkpoint = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert len(checkpoint["random"]) == 2


def test_the_autoencoder_is_resumed_bit_for_bit_too(tmp_path: Path) -> None:
    recipe = small_recipe(epochs=3)
    prepared, features = prepared_set(make_set(tmp_path / "set"), tmp_path / "cache", recipe)
    networks = []
    for name, stops in (("uninterrupted", [0]), ("parts", [1, 2, 0])):
        for stop in stops:
            task = new_task(prepared, features)
            try:
                networks.append(
                    run(
                        tmp_path / name,
                        task,
                        prepared.recipe,
                        FakeRecorder(stop_at_epoch=stop),
                        name="fan",
                        seed=0,
                    )
                )
            except KeyboardInterrupt:
                torch.manual_seed(stop)
    assert_equal(networks[0], networks[1])
