"""Divide a dataset among the targets and networks of a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from asd_monitor.audio.quality import assess
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.errors import ConfigError, DatasetError
from asd_monitor.records import SCORED_QUALITIES
from asd_offline.datasets.audio_files import (
    describe_unused_channels,
    read_length,
    read_training_clip,
)
from asd_offline.datasets.clip import Clip, Dataset
from asd_offline.datasets.targets import Target, plan_targets
from asd_offline.features.cache import FeatureCache
from asd_offline.models import MODELS
from asd_offline.models.protocol import Model, Task
from asd_offline.recipes import Recipe, resolve
from asd_offline.training.reproducibility import derive_seed
from asd_offline.training.split_recordings import drop_short_clips, split_long_recordings

PARTS_FOLDER = "parts"
"""Folder in the cache for parts of long recordings."""
MIN_CALIBRATION_WINDOWS = 2


@dataclass(frozen=True)
class PreparedData:
    """A dataset divided for a model."""

    model: Model[Any, Any]
    dataset: Dataset
    recipe: Recipe
    """The resolved recipe."""
    targets: tuple[Target, ...]
    networks: Mapping[str, tuple[Target, ...]]
    """Names of the networks, each with its targets."""
    recordings: tuple[Clip, ...] = ()
    """What clips were cut or chosen from; empty if the clips are the recordings."""
    notes: tuple[str, ...] = ()
    """Decisions that should be reported to the user."""

    @property
    def clips(self) -> list[Clip]:
        """All training clips, held-out ones included."""
        return [clip for target in self.targets for clip in (*target.clips, *target.held_out)]

    @property
    def sources(self) -> list[Clip]:
        """The files that the clips are or come from, which identify a run's data."""
        return list(self.recordings) or self.clips

    def new_task(self, network: str, seed: int, features: FeatureCache) -> Task[Any]:
        """Return the task of a network with its initial weights."""
        torch.manual_seed(derive_seed(seed, network))
        return self.model.task(self.networks[network], self.recipe, features)


def find_model(name: str) -> Model[Any, Any]:
    """Return a model by name, or raise ConfigError that lists all names."""
    if name not in MODELS:
        raise ConfigError(f"there is no model {name!r}; there are: {', '.join(MODELS)}")
    return MODELS[name]


def prepare(
    model: Model[Any, Any], dataset: Dataset, recipe: Recipe, cache: Path | None = None
) -> PreparedData:
    """Divide a dataset among targets and networks.

    Parameters
    ----------
    cache
        Folder for parts of long recordings; None: no recording is cut or left out.

    Raises
    ------
    DatasetError
        If there are no training clips, or too few.
    """
    clips = dataset.select(split="train")
    if not clips:
        found = f"{len(dataset.clips)} clips, all of them for testing" if dataset.clips else "none"
        msg = f"{dataset.root}: expected normal training clips, found {found}"
        raise DatasetError(f"{msg}; put normal recordings into <machine>/train")
    parts: Sequence[Clip] = clips
    notes: list[str] = []
    if cache is not None:
        parts, cut = split_long_recordings(clips, cache / PARTS_FOLDER, recipe.window_s)
        parts, left_out = drop_short_clips(parts, recipe.window_s)
        notes = cut + left_out
    recipe, window_notes = resolve(recipe, parts)
    targets = plan_targets(parts, recipe.held_out_fraction)
    channels = [read_length(clip.path).channels for clip in clips]
    channel_notes = describe_unused_channels(channels, 0, "training recordings")
    return PreparedData(
        model,
        dataset,
        recipe,
        targets,
        networks=model.networks(targets),
        recordings=tuple(clips) if notes else (),
        notes=(*notes, *window_notes, *channel_notes),
    )


def check_held_out(prepared: PreparedData) -> None:
    """Read the clips that only the export needs, to report errors before hours of training.

    Raises
    ------
    DatasetError, SourceError
        If a clip cannot be read, or too few windows can be scored for a calibration.
    """
    recipe = prepared.recipe
    size = recipe.window_samples
    for target in prepared.targets:
        scored = 0
        for clip in target.held_out:
            samples = read_training_clip(clip.path, recipe.sample_rate_hz)
            windows = clip_windows(samples, size, size)
            scored += sum(assess(window).quality in SCORED_QUALITIES for window in windows)
        if scored < MIN_CALIBRATION_WINDOWS:
            msg = (
                f"{target.name}: expected at least {MIN_CALIBRATION_WINDOWS} windows with sound in "
                f"the {len(target.held_out)} clips that are kept for the calibration, "
                f"found {scored}"
            )
            raise DatasetError(f"{msg}; take silent or constant clips out, or record more")
    if not recipe.epochs:  # the training clips, too, are read by the export alone
        for clip in (clip for target in prepared.targets for clip in target.clips):
            read_training_clip(clip.path, recipe.sample_rate_hz)
