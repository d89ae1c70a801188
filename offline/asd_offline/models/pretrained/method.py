"""A published audio transformer as front end, and backends on its pooled patch vectors.

Without training: Saengthong and Shinozaki, "Deep generic representations for domain-generalized
anomalous sound detection" (GenRep, arXiv 2409.05035) and "BEAM" (arXiv 2603.13749), both with
BEATs. With training: see :mod:`asd_offline.models.pretrained.lora`.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor, nn

from asd_monitor.backends.per_target import PerTarget
from asd_offline.datasets.targets import Target
from asd_offline.features.cache import FeatureCache
from asd_offline.features.frontends import NearAndFar, Waveform
from asd_offline.features.labelled_windows import LabelledWindows, classifier_clips
from asd_offline.features.window_embeddings import WindowEmbeddings, moved_to_gpu
from asd_offline.models.adacos.losses import mixup
from asd_offline.models.backend_choice import fit_target_backend
from asd_offline.models.bank import join_clips
from asd_offline.models.no_training import NoTrainingTask
from asd_offline.models.pretrained.detector import PretrainedDetector, WindowEmbedding
from asd_offline.models.pretrained.encoder_clusters import EncoderClusters
from asd_offline.models.pretrained.front_end import PretrainedFrontEnd
from asd_offline.models.pretrained.lora import FineTuned, merge_lora
from asd_offline.models.pretrained.near_and_far import (
    NearAndFarEmbeddings,
    NearAndFarFrontEnd,
    NearAndFarHead,
)
from asd_offline.models.pretrained.pooling import PatchScores
from asd_offline.models.pretrained.recipe import PretrainedRecipe
from asd_offline.models.protocol import DetectorModule, Model, Task

NETWORK = "all"


class FineTuningTask:
    """Training samples: windows of all machines, labelled with the dataset's classes."""

    def __init__(
        self,
        front: PretrainedFrontEnd,
        targets: Sequence[Target],
        recipe: PretrainedRecipe,
        features: FeatureCache,
    ) -> None:
        clips = classifier_clips(targets, supplemental=recipe.supplemental_classes)
        clusters = recipe.encoder_clusters
        self._windows = LabelledWindows(
            clips,
            features,
            recipe.sample_rate_hz,
            recipe.window_samples,
            recipe.pseudo_classes,
            None if clusters is None else EncoderClusters(front, clusters),
        )
        self._mixup_probability = recipe.mixup_probability
        self.network = FineTuned(
            front,
            recipe.lora_rank,
            recipe.embedding_dims,
            self._windows.classes,
            recipe.sub_clusters,
        )

    @property
    def sample_count(self) -> int:
        """Number of windows in an epoch."""
        return len(self._windows)

    def draw(self, indices: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """Return windows ``(batch, window_samples)`` and labels ``(batch, classes)``."""
        windows, labels = self._windows.draw(indices, generator)
        return mixup(windows, labels, self._mixup_probability, generator)


class PretrainedModel(Model[PretrainedRecipe, PretrainedFrontEnd | FineTuned]):
    """One published network for all machines, backends for each target."""

    recipe = PretrainedRecipe

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """Assign one network to all targets."""
        return {NETWORK: tuple(targets)}

    def task(
        self, targets: Sequence[Target], recipe: PretrainedRecipe, features: FeatureCache
    ) -> Task[PretrainedFrontEnd | FineTuned]:
        """Load the weights, and prepare their fine-tuning if there are epochs."""
        front = recipe.front_end()
        if recipe.epochs:
            return FineTuningTask(front, targets, recipe, features)
        return NoTrainingTask(front.requires_grad_(False))

    def detector(
        self,
        networks: Mapping[str, PretrainedFrontEnd | FineTuned],
        targets: Mapping[str, Sequence[Target]],
        recipe: PretrainedRecipe,
        features: FeatureCache,
    ) -> DetectorModule:
        """Fit the backends of each target."""
        front, head = _front_and_head(networks[NETWORK], recipe)
        embedding = _window_embedding(front, head, recipe)
        facts: dict[str, object] = {
            "architecture": front.architecture,
            "checkpoint_sha256": recipe.sha256.lower(),
        }
        with moved_to_gpu(embedding):
            count, values = _vector_shape(embedding, recipe)
            hop_s = front.patch_hop_s or _mean_step_s(front, recipe)
            keys = {"pool", "pool_power", "pool_emphasis", "bands"}
            cache_key = facts | recipe.model_dump(include=keys)
            stereo = len(recipe.input_channels) > 1
            row_type = NearAndFarEmbeddings if stereo else WindowEmbeddings
            vectors = row_type(embedding, count * values, recipe, cache_key)
            by_target = [
                _fit_backends(target, vectors, count, recipe, features)
                for target in targets[NETWORK]
            ]
        facts |= {
            "vectors_per_window": count,
            "values_per_vector": values,
            "evidence": "contribution of each time step of a band to the score",
            "evidence_hop_s": hop_s,
            "far_channel": recipe.far_channel,
        }
        if recipe.bands == "separate" and front.band_centres_hz():
            facts["evidence_bands_hz"] = front.band_centres_hz()
        device = next(embedding.parameters()).device
        backends = [PerTarget(vector_backends) for vector_backends in zip(*by_target, strict=True)]
        scores = PatchScores(embedding.head, backends)
        return PretrainedDetector(embedding.front, scores, facts).to(device).eval()


def _front_and_head(
    network: PretrainedFrontEnd | FineTuned, recipe: PretrainedRecipe
) -> tuple[PretrainedFrontEnd, nn.Module]:
    if isinstance(network, FineTuned):
        return merge_lora(network.front), network.head
    return network, recipe.pooling()


def _window_embedding(
    front: PretrainedFrontEnd, head: nn.Module, recipe: PretrainedRecipe
) -> WindowEmbedding:
    if len(recipe.input_channels) > 1:
        return WindowEmbedding(NearAndFarFrontEnd(front), NearAndFarHead(head)).eval()
    return WindowEmbedding(front, head).eval()


def _vector_shape(embedding: WindowEmbedding, recipe: PretrainedRecipe) -> tuple[int, int]:
    """Return the number of vectors of a window, and the length of each."""
    device = next(embedding.parameters()).device
    channels = len(recipe.input_channels)
    shape = (1, recipe.window_samples) if channels == 1 else (1, channels, recipe.window_samples)
    with torch.no_grad():
        vectors = embedding(torch.zeros(shape, device=device))
    _, count, values = vectors.shape
    return count, values


def _mean_step_s(front: PretrainedFrontEnd, recipe: PretrainedRecipe) -> float:
    """Return the length of a window divided by its number of time steps."""
    device = next(front.parameters()).device
    with torch.no_grad():
        steps = int(front(torch.zeros(1, recipe.window_samples, device=device)).shape[1])
    return recipe.window_samples / recipe.sample_rate_hz / steps


def _fit_backends(
    target: Target,
    vectors: WindowEmbeddings,
    count: int,
    recipe: PretrainedRecipe,
    features: FeatureCache,
) -> list[nn.Module]:
    """Fit a backend for each of the ``count`` vectors of a window."""
    paths = [clip.path for clip in target.clips]
    if recipe.epochs:  # not cached: every trained network has its own vectors
        stereo = len(recipe.input_channels) > 1
        sound = features.rows(paths, (NearAndFar if stereo else Waveform)(recipe.sample_rate_hz))
        samples = [sound.of(i).t() for i in range(len(paths))]  # each (channels, samples)
        by_clip = [vectors(clip[None] if stereo else clip)[0] for clip in samples]
    else:
        cached = features.rows(paths, vectors)
        by_clip = [cached.of(i) for i in range(len(paths))]
    rows, groups = join_clips(by_clip, recipe.bank_windows)
    rows = rows.reshape(len(rows), count, -1)  # (windows, vectors, values)
    return [_fit_backend(target, rows[:, i].contiguous(), groups, recipe) for i in range(count)]


def _fit_backend(
    target: Target, vectors: Tensor, clips: Tensor, recipe: PretrainedRecipe
) -> nn.Module:
    if len(recipe.input_channels) == 1:
        return fit_target_backend(recipe, target, vectors, clips)
    subtraction = recipe.fit_far_channel(vectors)
    return nn.Sequential(
        subtraction, fit_target_backend(recipe, target, subtraction(vectors), clips)
    )
