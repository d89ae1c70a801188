"""Record a network's training: metrics, points of the AUC curve, and TensorBoard."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from asd_monitor.errors import SourceError
from asd_monitor.progress import Progress
from asd_offline.datasets.clip import Clip
from asd_offline.evaluation.clip_scoring import compute_aucs
from asd_offline.features.cache import FeatureCache
from asd_offline.training.loop import EpochResult
from asd_offline.training.prepare import PreparedData
from asd_offline.training.run_folder import TENSORBOARD, Run

MAX_AUC_CLIPS = 200
AUC_POINTS = 10
"""Number of AUC measurements during a training, unless the recipe specifies an interval."""


class Recorder:
    """Writes the metrics of one network's epochs, and reports them as progress."""

    def __init__(
        self,
        prepared: PreparedData,
        name: str,
        run: Run,
        features: FeatureCache,
        device: torch.device,
        progress: Progress,
    ) -> None:
        self._prepared, self._name, self._run = prepared, name, run
        self._features, self._device, self._progress = features, device, progress
        self._tensorboard: Any = None
        self._auc_clips = _select_auc_clips(prepared, name)

    def resume(self, epochs_done: int) -> bool:
        """Discard later epochs; return whether the line of the last one is missing."""
        self._run.truncate_metrics(self._name, epochs_done)
        self._tensorboard = _open_tensorboard(self._run, self._name, epochs_done)
        recorded = {line["epoch"] for line in self._run.metrics() if line["network"] == self._name}
        return epochs_done > 0 and epochs_done not in recorded

    def record(self, result: EpochResult, network: nn.Module) -> None:
        """Write an epoch, with the AUC if it is due."""
        auc = self._compute_auc(network) if self._auc_is_due(result.number) else {}
        line: dict[str, Any] = {
            "network": self._name,
            "epoch": result.number,
            "loss": result.loss,
            "learning_rate": result.learning_rate,
            "seconds": round(result.seconds, 4),
            "precision": result.precision,
            "at": round(time.time(), 3),
        }
        self._run.append_metrics(line | ({"auc": auc} if auc else {}))
        if self._tensorboard is not None:
            self._tensorboard.add_scalar(f"loss/{self._name}", result.loss, result.number)
            for target, value in auc.items():
                self._tensorboard.add_scalar(f"auc/{target}", value, result.number)
        detail = f"loss {result.loss:.4g}"
        if auc:
            detail += f", AUC {sum(auc.values()) / len(auc):.3f}"
        epochs = self._prepared.recipe.epochs
        self._progress.update(self._name, result.number, epochs, detail)

    def close(self) -> None:
        """Close the TensorBoard file."""
        if self._tensorboard is not None:
            self._tensorboard.close()

    def _auc_is_due(self, epoch: int) -> bool:
        recipe = self._prepared.recipe
        interval = recipe.auc_interval_epochs
        if interval is None:
            interval = max(1, recipe.epochs // AUC_POINTS)
        if not self._auc_clips or not interval:
            return False
        return epoch == recipe.epochs or epoch % interval == 0

    def _compute_auc(self, network: nn.Module) -> Mapping[str, float]:
        """Return the AUC of each target on its labelled test clips."""
        prepared, targets = self._prepared, self._prepared.networks[self._name]
        with torch.no_grad():
            detector = prepared.model.detector(
                {self._name: network.eval()}, {self._name: targets}, prepared.recipe, self._features
            ).to(self._device)
        unusable: list[tuple[Clip, SourceError]] = []
        auc = compute_aucs(
            detector,
            [target.name for target in targets],
            self._auc_clips,
            prepared.recipe,
            self._device,
            lambda clip, error: unusable.append((clip, error)),
        )
        if unusable:
            self._exclude(unusable)
        return auc

    def _exclude(self, unusable: Sequence[tuple[Clip, SourceError]]) -> None:
        """Continue without unusable test clips, which serve the AUC curve only."""
        self._progress.message(
            f"{self._name}: {len(unusable)} of {len(self._auc_clips)} test clips cannot be used "
            f"and do not count in the AUC curve; the first: {unusable[0][1]}"
        )
        paths = {clip.path for clip, _ in unusable}
        self._auc_clips = [clip for clip in self._auc_clips if clip.path not in paths]


def _select_auc_clips(prepared: PreparedData, name: str) -> Sequence[Clip]:
    """Return the labelled test clips of a network, evenly thinned if there are many."""
    machines = {target.machine for target in prepared.networks[name]}
    clips = [
        clip
        for clip in prepared.dataset.select(split="test")
        if clip.machine in machines and clip.label is not None
    ]
    return clips[:: -(-len(clips) // MAX_AUC_CLIPS) or 1]


def _open_tensorboard(run: Run, name: str, epochs_done: int) -> Any:  # noqa: ANN401 - untyped
    """Return a TensorBoard writer that hides later epochs; None if the package is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    folder = run.folder / TENSORBOARD / run.checkpoint_folder(name).name
    return SummaryWriter(str(folder), purge_step=epochs_done + 1)
