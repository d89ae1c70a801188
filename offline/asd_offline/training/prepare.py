"""Divide a dataset among the targets and networks of a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from asd_monitor.errors import ConfigError, DatasetError
from asd_monitor.progress import Progress
from asd_offline.datasets.audio_files import (
    describe_unused_channels,
    read_length,
)
from asd_offline.datasets.clip import Clip, Dataset, SupplementalClip
from asd_offline.datasets.targets import Target, plan_targets
from asd_offline.features.cache import FeatureCache
from asd_offline.models import MODELS
from asd_offline.models.protocol import Model, Task
from asd_offline.recipes import Recipe, resolve
from asd_offline.training.reproducibility import derive_seed
from asd_offline.training.split_recordings import drop_short_clips, split_long_recordings
from asd_offline.training.usable_sound import keep_usable_sound

PARTS_FOLDER = "parts"
"""Folder in the cache for parts of long recordings."""


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
    def sources(self) -> list[Clip | SupplementalClip]:
        """The files that the clips are or come from, which identify a run's data."""
        files: list[Clip | SupplementalClip] = [*(self.recordings or self.clips)]
        if self.recipe.uses_supplemental:
            files += [extra for target in self.targets for extra in target.supplemental]
        return files

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
    model: Model[Any, Any],
    dataset: Dataset,
    recipe: Recipe,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> PreparedData:
    """Divide a dataset among targets and networks.

    Parameters
    ----------
    cache
        Folder of the feature cache, where also parts of recordings are kept; None: no recording
        is cut or left out.
    progress
        Receives the reading of the clips.

    Raises
    ------
    DatasetError
        If there are no training clips, too few with sound, or some with too few channels.
    SourceError
        If a clip cannot be read.
    """
    clips = dataset.select(split="train")
    if not clips:
        found = f"{len(dataset.clips)} clips, all of them for testing" if dataset.clips else "none"
        msg = f"{dataset.root}: expected normal training clips, found {found}"
        raise DatasetError(f"{msg}; put normal recordings into <machine>/train")
    channels = _check_channels(clips, recipe)
    parts: Sequence[Clip] = clips
    notes: list[str] = []
    if cache is not None:
        parts, cut = split_long_recordings(
            clips, cache / PARTS_FOLDER, recipe.window_s, recipe.input_channels
        )
        parts, left_out = drop_short_clips(parts, recipe.window_s)
        notes = cut + left_out
    recipe, window_notes = resolve(recipe, parts)
    if cache is not None:
        features = FeatureCache(cache, progress)
        parts, silent = keep_usable_sound(parts, recipe, features, cache / PARTS_FOLDER)
        notes += silent
    targets = plan_targets(parts, recipe.held_out_fraction, dataset.supplemental)
    other_notes = describe_unused_channels(channels, recipe.input_channels, "training recordings")
    if recipe.uses_supplemental and not any(target.supplemental for target in targets):
        other_notes.append("supplemental_classes has no effect: there are no supplemental clips")
    return PreparedData(
        model,
        dataset,
        recipe,
        targets,
        networks=model.networks(targets),
        recordings=tuple(clips) if notes else (),
        notes=(*notes, *window_notes, *other_notes),
    )


def _check_channels(clips: Sequence[Clip], recipe: Recipe) -> list[int]:
    """Return the number of channels of each clip, or raise DatasetError if one has too few."""
    channels = [read_length(clip.path).channels for clip in clips]
    needed = max(recipe.input_channels) + 1
    for clip, count in zip(clips, channels, strict=True):
        if count < needed:
            msg = (
                f"{clip.path}: expected {needed} channels, as the recipe scores the far channel as "
                f"well, found {count}; use stereo recordings, or far_channel: ignored"
            )
            raise DatasetError(msg)
    return channels
