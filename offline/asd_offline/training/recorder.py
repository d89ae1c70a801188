"""What is written down while a network trains: metrics, pictures' points, TensorBoard."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from asd_monitor.errors import SourceError
from asd_offline.datasets.clip import Clip
from asd_offline.evaluation.clip_scoring import labelled_auc
from asd_offline.features.cache import FeatureCache
from asd_offline.training.distributed import Process
from asd_offline.training.loop import Epoch, Show
from asd_offline.training.prepare import PreparedData
from asd_offline.training.run_folder import TENSORBOARD, Run

AUC_CLIPS_AT_MOST = 200


class Recorder:
    """Writes metrics, TensorBoard and the points of the AUC picture of one network.

    Only the first of several processes tells it anything, beginning with :meth:`resumed`.
    """

    def __init__(
        self,
        prepared: PreparedData,
        name: str,
        run: Run,
        features: FeatureCache,
        process: Process,
        show: Show,
    ) -> None:
        self._prepared, self._name, self._run = prepared, name, run
        self._features, self._device, self._show = features, process.device, show
        self._board: Any = None
        self._auc_clips = _auc_clips(prepared, name)
        epochs, every = prepared.recipe.epochs, prepared.recipe.auc_every
        self._auc_every = max(1, epochs // 10) if every is None else every

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *reason: object) -> None:
        if self._board is not None:
            self._board.close()

    def resumed(self, epochs_done: int) -> bool:
        """Forget what is trained again; return whether the last epoch's line is missing."""
        self._run.forget_after(self._name, epochs_done)
        self._board = _tensorboard(self._run, self._name, epochs_done)
        written = {line["epoch"] for line in self._run.metrics() if line["network"] == self._name}
        return epochs_done > 0 and epochs_done not in written

    def batch(self, done: int, total: int) -> None:
        """Show how far the epoch is."""
        self._show.batch(done, total)

    def epoch(self, epoch: Epoch, network: nn.Module) -> None:
        """Write down an epoch, with the AUC where it is time for it."""
        auc = self._auc(epoch.number, network)
        line: dict[str, Any] = {
            "network": self._name,
            "epoch": epoch.number,
            "loss": epoch.loss,
            "learning_rate": epoch.learning_rate,
            "seconds": round(epoch.seconds, 4),
            "precision": epoch.precision,
            "at": round(time.time(), 3),
        }
        self._run.add_metrics(line | ({"auc": auc} if auc else {}))
        if self._board is not None:
            self._board.add_scalar(f"loss/{self._name}", epoch.loss, epoch.number)
            for target, value in auc.items():
                self._board.add_scalar(f"auc/{target}", value, epoch.number)
        self._show.epoch(epoch, auc)

    def _auc(self, number: int, network: nn.Module) -> Mapping[str, float]:
        last = number == self._prepared.recipe.epochs
        if not self._auc_clips or not self._auc_every:
            return {}
        if not last and number % self._auc_every:
            return {}
        targets = self._prepared.networks[self._name]
        with torch.no_grad():
            detector = self._prepared.model.detector(
                {self._name: network.eval()},
                {self._name: targets},
                self._prepared.recipe,
                self._features,
            ).to(self._device)
        names = [target.name for target in targets]
        unusable: list[tuple[Clip, SourceError]] = []
        auc = labelled_auc(
            detector,
            names,
            self._auc_clips,
            self._prepared.recipe,
            self._device,
            lambda clip, error: unusable.append((clip, error)),
        )
        if unusable:
            self._leave_out(unusable)
        return auc

    def _leave_out(self, unusable: Sequence[tuple[Clip, SourceError]]) -> None:
        """Go on without test clips that cannot be used: they are for the picture only."""
        self._show.note(
            f"{self._name}: {len(unusable)} of {len(self._auc_clips)} test clips cannot be used "
            f"and do not count in the AUC picture; the first: {unusable[0][1]}"
        )
        paths = {clip.path for clip, _ in unusable}
        self._auc_clips = [clip for clip in self._auc_clips if clip.path not in paths]


def _auc_clips(prepared: PreparedData, name: str) -> Sequence[Clip]:
    """Return labelled test clips, evenly spread where there are very many."""
    machines = {target.machine for target in prepared.networks[name]}
    clips = [
        clip
        for clip in prepared.dataset.select(split="test")
        if clip.machine in machines and clip.label is not None
    ]
    return clips[:: -(-len(clips) // AUC_CLIPS_AT_MOST) or 1]


def _tensorboard(run: Run, name: str, done: int) -> Any:  # noqa: ANN401 - tensorboard has no types
    """Return what writes for TensorBoard, hiding what is trained again; None without it."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    folder = run.folder / TENSORBOARD / run.checkpoints(name).name
    return SummaryWriter(str(folder), purge_step=done + 1)
