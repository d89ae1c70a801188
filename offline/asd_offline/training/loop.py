"""Train one network: deterministic, and resumed exactly where it stopped."""

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from asd_monitor.errors import RunError
from asd_monitor.progress import Progress
from asd_offline.models.protocol import MultiStepTask, Task
from asd_offline.recipes import Recipe
from asd_offline.training.batch_norm import (
    MAX_BATCHES,
    batch_norm_layers,
    recompute_bn_statistics,
)
from asd_offline.training.batches import (
    check_sample_count,
    draw_on_device,
    move_samples,
    prefetch,
    split_order,
)
from asd_offline.training.checkpoints import (
    Identity,
    latest_checkpoint,
    write_checkpoint,
)
from asd_offline.training.distributed import Process
from asd_offline.training.lr_schedule import make_lr_scheduler
from asd_offline.training.precision import training_precision
from asd_offline.training.reproducibility import (
    derive_seed,
    deterministic,
    get_random_states,
    preserved_random_states,
    set_random_states,
)

CHECKPOINT_INTERVAL_S = 10.0


@dataclass(frozen=True, slots=True)
class EpochResult:
    """The outcome of an epoch."""

    number: int
    """From 1."""
    loss: float
    """Mean over the epoch's samples."""
    learning_rate: float
    seconds: float
    precision: str
    """Of products and activations: ``float32``, ``bfloat16`` or ``float16``."""


class EpochRecorder(Protocol):
    """Records epochs; only the first of several processes calls it."""

    def resume(self, epochs_done: int) -> bool:
        """Discard later epochs, and return whether the record of the last one is missing.

        It is if training was stopped just after the checkpoint. ``epochs_done`` is 0 for a new
        training.
        """

    def record(self, result: EpochResult, network: nn.Module) -> None:
        """Record an epoch; the random states are restored afterwards."""


class Trainer:
    """Trains one network until the recipe's last epoch.

    Stopped at any moment and started again, the result is the same as without the stop, bit for
    bit on a CPU: the order of samples depends on seed and epoch alone, and checkpoints hold
    weights, optimiser, schedule, random states and epoch.

    Parameters
    ----------
    task
        Network and samples.
    recipe
        The resolved recipe.
    name
        Name of the network; part of its random seeds.
    seed
        Seed of the run.
    folder
        For its checkpoints.
    process
        This process.
    checkpoint_interval_s
        Minimum time between checkpoints, which are written at the end of an epoch.
    """

    def __init__(
        self,
        task: Task[nn.Module],
        recipe: Recipe,
        *,
        name: str,
        seed: int,
        folder: Path,
        process: Process,
        checkpoint_interval_s: float = CHECKPOINT_INTERVAL_S,
    ) -> None:
        self.epochs_done = 0
        self._task, self._recipe, self._process = task, recipe, process
        self._name, self._seed, self._folder = name, seed, folder
        self._interval_s = checkpoint_interval_s
        self._network = task.network.to(process.device)
        self._draw = draw_on_device if move_samples(task, process.device) else prefetch
        self._optimizer = torch.optim.Adam(
            [weight for weight in self._network.parameters() if weight.requires_grad],
            lr=recipe.learning_rate,
            betas=recipe.adam_betas,
            weight_decay=recipe.weight_decay,
            decoupled_weight_decay=recipe.optimizer == "adamw",
            fused=True,
        )
        self._schedule = make_lr_scheduler(recipe, self._optimizer)
        self._precision = training_precision(recipe, process.device)
        # Only float16 needs its gradients scaled.
        self._scaler = torch.amp.GradScaler(
            process.device.type, enabled=self._precision is torch.float16
        )
        self._last_result: EpochResult | None = None
        self._checkpoint_written_s = time.perf_counter()

    def train(self, recorder: EpochRecorder, progress: Progress) -> nn.Module:
        """Train from the newest checkpoint, if there is one.

        Returns
        -------
        torch.nn.Module
            The trained network, on the process's device, in evaluation mode.

        Raises
        ------
        DatasetError
            If a process would have a single sample.
        RunError
            If a checkpoint is damaged, of another recipe, or cannot be written, or the loss is
            not finite.
        """
        check_sample_count(self._name, self._task, self._process)
        self.resume()
        process = self._process
        last_is_missing = process.is_first and recorder.resume(self.epochs_done)
        with deterministic():
            if last_is_missing and self._last_result is not None:
                self._record(self._last_result, recorder)
            process.wait()
            if self.epochs_done < self._recipe.epochs:
                # A step of a multi-step task reaches some of the weights only.
                some_unused = isinstance(self._task, MultiStepTask)
                learner = process.parallel(self._network, some_unused=some_unused)
            while self.epochs_done < self._recipe.epochs:
                result = self.run_epoch(learner, progress)
                random_states = process.gather(get_random_states(process.device))
                if process.is_first:
                    if self._checkpoint_is_due():
                        self.save_checkpoint(result, random_states)
                    self._record(result, recorder)
                process.wait()
        return self._network.eval()

    def resume(self) -> None:
        """Continue from the newest checkpoint, or from initial weights."""
        checkpoint = latest_checkpoint(self._folder)
        if checkpoint is not None:
            self._identity.check(checkpoint)
            try:
                self._restore(checkpoint)
            except (KeyError, RuntimeError, ValueError, TypeError) as error:
                msg = f"{self._name}: its checkpoint does not fit this version's network: {error}"
                raise RunError(msg) from error
        if self.epochs_done == 0 and self._process.world_size > 1:
            torch.manual_seed(derive_seed(self._seed, self._name, "rank", self._process.rank))

    def run_epoch(self, learner: nn.Module, progress: Progress) -> EpochResult:
        """Train for one epoch.

        Parameters
        ----------
        learner
            The network, or what averages its gradients over processes.
        """
        recipe, number = self._recipe, self.epochs_done + 1
        self._network.train()
        started_s = time.perf_counter()
        learning_rate = self._optimizer.param_groups[0]["lr"]
        loss = self._train_batches(learner, progress)
        if not math.isfinite(loss):
            msg = f"{self._name}: the loss is not finite in epoch {number}: lower learning_rate"
            raise RunError(f"{msg}, or look for a damaged clip; earlier epochs are kept")
        self._schedule.step()
        if recipe.recompute_batch_norm and number == recipe.epochs:
            self._recompute_batch_norm()
        self.epochs_done = number
        seconds = time.perf_counter() - started_s
        precision = str(self._precision).removeprefix("torch.")
        return EpochResult(number, loss, learning_rate, seconds, precision)

    def save_checkpoint(self, result: EpochResult, random_states: list[dict[str, Tensor]]) -> None:
        """Write a checkpoint.

        Parameters
        ----------
        result
            Result of the last epoch.
        random_states
            Random states of all processes, by rank.
        """
        state = {
            "weights": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "scaler": self._scaler.state_dict(),
            "random": random_states,
            "result": asdict(result),
        }
        write_checkpoint(self._folder, self.epochs_done, state | self._identity.to_dict())
        self._checkpoint_written_s = time.perf_counter()

    @property
    def _identity(self) -> Identity:
        return Identity(self._name, self._seed, self._recipe)

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        self._network.load_state_dict(checkpoint["weights"])
        if checkpoint["epoch"] == 0:
            return  # initial weights
        self._optimizer.load_state_dict(checkpoint["optimizer"])
        self._schedule.load_state_dict(checkpoint["schedule"])
        self._scaler.load_state_dict(checkpoint["scaler"])
        states, rank = checkpoint["random"], self._process.rank
        set_random_states(states[rank] if rank < len(states) else states[0], self._process.device)
        self._last_result = EpochResult(**checkpoint["result"])
        self.epochs_done = int(checkpoint["epoch"])

    def _checkpoint_is_due(self) -> bool:
        elapsed_s = time.perf_counter() - self._checkpoint_written_s
        return self.epochs_done == self._recipe.epochs or elapsed_s >= self._interval_s

    def _record(self, result: EpochResult, recorder: EpochRecorder) -> None:
        with preserved_random_states(self._process.device):
            recorder.record(result, self._network)

    def _train_batches(self, learner: nn.Module, progress: Progress) -> float:
        """Change the weights by every batch of an epoch; return the mean loss of the samples."""
        process, epoch = self._process, self.epochs_done
        batches, generator = self._shuffle(epoch)
        total, count = torch.zeros((), dtype=torch.float64, device=process.device), 0
        steps: list[tuple[int, ...]] = [()]
        if isinstance(self._task, MultiStepTask):
            steps = [(step,) for step in range(self._task.steps_per_batch)]
        drawn = self._draw(self._task, batches, generator, process.device)
        for index, batch in enumerate(drawn):
            if process.is_first:
                progress.update(self._name, epoch + index / len(batches), self._recipe.epochs)
            for step in steps:
                loss = self._step(learner, (*batch, *step))
            total += loss * len(batches[index])
            count += len(batches[index])
        sums = process.gather((float(total), count))
        return sum(part for part, _ in sums) / max(1, sum(size for _, size in sums))

    def _step(self, learner: nn.Module, batch: tuple[Any, ...]) -> Tensor:
        """Change the weights by one batch; return its loss."""
        device, precision = self._process.device.type, self._precision
        self._optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, precision, enabled=precision is not torch.float32):
            loss: Tensor = learner(*batch)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return loss.detach()

    def _recompute_batch_norm(self) -> None:
        if not batch_norm_layers(self._network):
            return
        batches, generator = self._shuffle("settle")
        step: tuple[int, ...] = ()
        if isinstance(self._task, MultiStepTask):
            step = (self._task.steps_per_batch - 1,)
        drawn = self._draw(self._task, batches[:MAX_BATCHES], generator, self._process.device)
        recompute_bn_statistics(self._network, ((*batch, *step) for batch in drawn))

    def _shuffle(self, purpose: object) -> tuple[list[Tensor], torch.Generator]:
        """Return this process's batches in random order, and the generator for drawing them."""
        seed = derive_seed(self._seed, self._name, purpose)
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(self._task.sample_count, generator=generator)
        return split_order(order, self._recipe.batch_size, self._process), generator
