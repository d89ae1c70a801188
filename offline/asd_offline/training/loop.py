"""The training loop of one network: plain, deterministic, and resumed exactly where it stopped."""

import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from asd_monitor.errors import RunError
from asd_offline.models.protocol import MultiStepTask, Task
from asd_offline.recipes import Recipe, kept_recipe
from asd_offline.training.batch_norm import BATCHES_AT_MOST, normalised, settle_norms
from asd_offline.training.checkpoints import latest_checkpoint, write_checkpoint
from asd_offline.training.distributed import Process
from asd_offline.training.lr_schedule import schedule_of
from asd_offline.training.precision import training_precision
from asd_offline.training.reproducibility import (
    derive_seed,
    deterministic,
    random_kept,
    random_states,
    restore_random_states,
)

KEEP_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Epoch:
    """What is known at the end of an epoch."""

    number: int
    """From 1."""
    loss: float
    """Mean over the epoch's samples."""
    learning_rate: float
    seconds: float
    precision: str
    """Of products and activations: ``float32``, ``bfloat16`` or ``float16``."""


class Watcher(Protocol):
    """Whoever wants to know how training goes; only the first process tells."""

    def resumed(self, epochs_done: int) -> bool:
        """So many epochs were done before; 0 for a new training.

        Return whether the last is not known yet, because the stop came just after its checkpoint.
        """

    def batch(self, done: int, total: int) -> None:
        """So many batches of the current epoch are done."""

    def epoch(self, epoch: Epoch, network: nn.Module) -> None:
        """An epoch is done and its checkpoint written; random states are restored afterwards."""


class Show(Protocol):
    """Whoever shows how the run goes."""

    def features(self, done: int, total: int) -> None:
        """So many clips are read."""

    def network(self, name: str, epochs: int) -> None:
        """Training of a network begins or goes on."""

    def batch(self, done: int, total: int) -> None:
        """So many batches of an epoch are done."""

    def epoch(self, epoch: Epoch, auc: Mapping[str, float]) -> None:
        """An epoch is done."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


def train_network(
    task: Task[nn.Module],
    recipe: Recipe,
    *,
    name: str,
    seed: int,
    folder: Path,
    process: Process,
    watcher: Watcher,
    keep_every_s: float = KEEP_EVERY_S,
) -> nn.Module:
    """Train until the recipe's last epoch, from the newest checkpoint if there is one.

    Stopped at any moment and called again, the result is the same as without the stop, bit for
    bit on a CPU: the order of samples depends on seed and epoch alone, and checkpoints hold
    weights, optimiser, schedule, random states and epoch.

    Parameters
    ----------
    task
        Network and samples.
    name
        Of the network; shapes its random numbers.
    folder
        Where its checkpoints are.
    keep_every_s
        A checkpoint is written after the first epoch that ends so long after the one before it.

    Returns
    -------
    torch.nn.Module
        The trained network, on the process's device, in evaluation mode.

    Raises
    ------
    RunError
        If a checkpoint is damaged, of another recipe, or cannot be written, or the loss is not
        finite any more.
    """
    network = task.network.to(process.device)
    state = _State.new(task, recipe, process)
    there = latest_checkpoint(folder)
    done = state.restore(there, recipe, name, seed, process)
    unknown = process.first and watcher.resumed(done)
    if done == 0 and process.world > 1:
        torch.manual_seed(derive_seed(seed, name, "rank", process.rank))
    kept_at = time.perf_counter()
    with deterministic():
        if unknown and there is not None and "result" in there:
            with random_kept(process.device):
                watcher.epoch(Epoch(**there["result"]), network)
        process.wait()
        learner = _distributed(network, task, process) if done < recipe.epochs else network
        for epoch in range(done, recipe.epochs):
            network.train()
            began = time.perf_counter()
            rate = state.optimizer.param_groups[0]["lr"]
            loss = _epoch(learner, task, recipe, state, (seed, name, epoch), process, watcher)
            if not math.isfinite(loss):
                msg = f"{name}: the loss is not finite in epoch {epoch + 1}: lower learning_rate"
                raise RunError(f"{msg}, or look for a damaged clip; earlier epochs are kept")
            state.schedule.step()
            if recipe.settle_batch_norm and epoch + 1 == recipe.epochs:
                _settle(network, task, recipe, (seed, name, "settle"), process)
            random = process.gather(random_states(process.device))
            if process.first:
                took_s, precision = time.perf_counter() - began, str(state.precision)
                result = Epoch(epoch + 1, loss, rate, took_s, precision.removeprefix("torch."))
                if epoch + 1 == recipe.epochs or time.perf_counter() - kept_at >= keep_every_s:
                    kept = state.to_dict() | {"random": random, "result": asdict(result)}
                    write_checkpoint(folder, epoch + 1, kept | identity(recipe, name, seed))
                    kept_at = time.perf_counter()
                with random_kept(process.device):
                    watcher.epoch(result, network)
            process.wait()
    return network.eval()


@dataclass
class _State:
    """What changes while training, besides the random states."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler
    precision: torch.dtype

    @classmethod
    def new(cls, task: Task[nn.Module], recipe: Recipe, process: Process) -> "_State":
        network, device = task.network, process.device
        optimizer = torch.optim.Adam(
            [each for each in network.parameters() if each.requires_grad],
            lr=recipe.learning_rate,
            betas=recipe.adam_betas,
            weight_decay=recipe.weight_decay,
            decoupled_weight_decay=recipe.optimizer == "adamw",
            fused=True,
        )
        schedule = schedule_of(recipe, optimizer)
        precision = training_precision(recipe, device)
        # Only float16 needs its gradients scaled.
        scaler = torch.amp.GradScaler(device.type, enabled=precision is torch.float16)
        return cls(network, optimizer, schedule, scaler, precision)

    def to_dict(self) -> dict[str, Any]:
        return {
            "weights": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def restore(
        self, kept: dict[str, Any] | None, recipe: Recipe, name: str, seed: int, process: Process
    ) -> int:
        """Go back to a checkpoint; return how many epochs are done."""
        if kept is None:
            return 0
        check_identity(kept, recipe, name, seed)
        try:
            self.network.load_state_dict(kept["weights"])
            if kept["epoch"] == 0:
                return 0  # initial weights, before anything was trained
            self.optimizer.load_state_dict(kept["optimizer"])
            self.schedule.load_state_dict(kept["schedule"])
            self.scaler.load_state_dict(kept["scaler"])
            random = kept["random"]
            states = random[process.rank] if process.rank < len(random) else random[0]
            restore_random_states(states, process.device)
            return int(kept["epoch"])
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            msg = f"{name}: its checkpoint does not fit this version's network: {error}"
            raise RunError(msg) from error


def identity(recipe: Recipe, name: str, seed: int) -> dict[str, Any]:
    """Return what a checkpoint belongs to, for :func:`check_identity`."""
    return {"network": name, "seed": seed, "recipe": recipe.model_dump(mode="json")}


def check_identity(kept: dict[str, Any], recipe: Recipe, name: str, seed: int) -> None:
    """Raise RunError unless a checkpoint is of this network, recipe and seed."""
    there = kept_recipe(type(recipe), kept.get("recipe"), f"checkpoint of {name}")
    found = {"network": kept.get("network"), "seed": kept.get("seed")}
    found |= there.model_dump(mode="json")
    now = {"network": name, "seed": seed, **recipe.model_dump(mode="json")}
    for what, expected in now.items():
        if found.get(what) != expected:
            msg = f"checkpoint of {name}: expected {what} {expected!r}, found {found.get(what)!r}"
            raise RunError(f"{msg}; it belongs to another run")


def _epoch(
    learner: nn.Module,
    task: Task[nn.Module],
    recipe: Recipe,
    state: _State,
    seeds: tuple[object, ...],
    process: Process,
    watcher: Watcher,
) -> float:
    generator = torch.Generator().manual_seed(derive_seed(*seeds))  # type: ignore[arg-type]
    order = torch.randperm(task.sample_count, generator=generator)
    batches = split_order(order, recipe.batch_size, process)
    device = process.device
    total, count = torch.zeros((), dtype=torch.float64, device=device), 0
    steps = (
        [(step,) for step in range(task.steps_per_batch)]
        if isinstance(task, MultiStepTask)
        else [()]
    )
    for done, batch in enumerate(_ahead(task, batches, generator, device), start=1):
        for step in steps:
            loss = _step(learner, state, device, (*batch, *step))
        size = len(batches[done - 1])
        total += loss * size
        count += size
        if process.first:
            watcher.batch(done, len(batches))
    sums = process.gather((float(total), count))
    return sum(each for each, _ in sums) / max(1, sum(size for _, size in sums))


def _step(
    learner: nn.Module, state: _State, device: torch.device, batch: tuple[Any, ...]
) -> Tensor:
    """Change the weights by one batch; return its loss."""
    state.optimizer.zero_grad(set_to_none=True)
    with torch.autocast(device.type, state.precision, state.precision is not torch.float32):
        loss: Tensor = learner(*batch)
    state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    state.scaler.step(state.optimizer)
    state.scaler.update()
    return loss.detach()


def _settle(
    network: nn.Module,
    task: Task[nn.Module],
    recipe: Recipe,
    seeds: tuple[object, ...],
    process: Process,
) -> None:
    if not normalised(network):
        return
    generator = torch.Generator().manual_seed(derive_seed(*seeds))  # type: ignore[arg-type]
    order = torch.randperm(task.sample_count, generator=generator)
    batches = split_order(order, recipe.batch_size, process)[:BATCHES_AT_MOST]
    step = (task.steps_per_batch - 1,) if isinstance(task, MultiStepTask) else ()
    drawn = _ahead(task, batches, generator, process.device)
    settle_norms(network, ((*batch, *step) for batch in drawn))


def split_order(order: Tensor, batch_size: int, process: Process) -> list[Tensor]:
    """Return this process's batches of an epoch.

    All processes have equally many. A last batch of a single sample is left out, because batch
    normalisation has nothing to normalise then.
    """
    whole = len(order) // process.world * process.world
    own = order[process.rank : whole : process.world]
    batches = list(torch.split(own, max(1, batch_size // process.world)))
    return batches[:-1] if len(batches) > 1 and len(batches[-1]) < 2 else batches


def _drawn(
    task: Task[nn.Module], batches: list[Tensor], generator: Generator, device: torch.device
) -> Iterator[tuple[Tensor, ...]]:
    for chosen in batches:
        yield tuple(each.to(device, non_blocking=True) for each in task.draw(chosen, generator))


def _ahead(
    task: Task[nn.Module], batches: list[Tensor], generator: Generator, device: torch.device
) -> Iterator[tuple[Tensor, ...]]:
    """Yield batches on the device, the next one being drawn meanwhile."""
    drawn = _drawn(task, batches, generator, device)
    with ThreadPoolExecutor(1) as drawing:
        following = drawing.submit(next, drawn)
        for _ in batches[1:]:
            ready, following = following.result(), drawing.submit(next, drawn)
            yield ready
        yield following.result()


def _distributed(network: nn.Module, task: Task[nn.Module], process: Process) -> nn.Module:
    if process.world == 1:
        return network
    places = [process.device.index] if process.device.type == "cuda" else None
    # A step of a stepped task reaches some of the weights only.
    some_unused = isinstance(task, MultiStepTask)
    return DistributedDataParallel(network, device_ids=places, find_unused_parameters=some_unused)
