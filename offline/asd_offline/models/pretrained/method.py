"""A published audio transformer as front end, and neighbours among what it makes of normal sound.

Without training: as Saengthong and Shinozaki, "Deep generic representations for domain-generalized
anomalous sound detection" (GenRep, arXiv 2409.05035) and "BEAM" (arXiv 2603.13749) do with BEATs;
with it: see :mod:`asd_offline.models.pretrained.lora`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self, cast

import torch
from pydantic import Field, field_validator, model_validator
from torch import Generator, Tensor, nn

from asd_monitor.backends.fusion import Rule
from asd_monitor.errors import ConfigError
from asd_offline.datasets.targets import Target
from asd_offline.features.cache import FeatureCache
from asd_offline.features.frontends import Waveform
from asd_offline.features.labelled_windows import LabelledWindows
from asd_offline.features.window_embeddings import WindowVectors, on_a_gpu
from asd_offline.models.adacos.losses import mixup
from asd_offline.models.adacos.spectral import NETWORK
from asd_offline.models.backend_choice import Choice, check_choice, fit_target
from asd_offline.models.no_training import NoTrainingTask
from asd_offline.models.pretrained.architectures import PretrainedFrontEnd, load_front_end
from asd_offline.models.pretrained.lora import FineTuned, without_additions
from asd_offline.models.pretrained.pooling import (
    Bands,
    BandScores,
    ByBand,
    PatchPooling,
    Pool,
)
from asd_offline.models.pretrained.spectrograms import FRAME_HOP, PATCH, SAMPLE_RATE_HZ
from asd_offline.models.protocol import DetectorModule, Model, Task
from asd_offline.recipes import Recipe

HOP_S = PATCH * FRAME_HOP / SAMPLE_RATE_HZ
"""From one patch to the next: 0.16 s."""


class PretrainedRecipe(Recipe):
    """Where the weights are, what is made of them; with epochs, how they are fine-tuned."""

    model: Literal["pretrained"] = "pretrained"
    checkpoint: Path = Field(description="File of published weights; never fetched.")
    sha256: str = Field(pattern=r"^[0-9a-fA-F]{64}$", description="Of that file.")
    architecture: Literal["auto", "beats", "ced", "eat"] = "auto"
    pool: Pool | Literal["attention"] = Field(
        "mean", description="Of patches: mean; mean and maximum; learned, which needs epochs."
    )
    bands: Bands = Field(
        "apart", description="Frequency bands each with a bank; as one vector; pooled like time."
    )
    back_end: Choice = Field("density_neighbours", description="Several: put together.")
    neighbours: int | None = Field(None, ge=1, description="None: what the back end is known for.")
    fusion: Rule | None = Field(None, description="Of several back ends; None: the least score.")
    bank_windows: int = Field(1000, ge=2, description="Of each target at most, evenly thinned.")

    epochs: int = Field(0, ge=0, le=100_000)
    lora_rank: int = Field(64, ge=0, description="Of what is trained; 0: all weights are.")
    embedding_dims: int = Field(256, ge=2)
    sub_clusters: int = Field(16, ge=1)
    mixup_probability: float = Field(0.5, ge=0, le=1)
    pseudo_classes: bool | None = Field(
        None, description="Clusters and alterations as classes; None: below four classes."
    )
    batch_size: int = Field(8, ge=2)
    optimizer: Literal["adam", "adamw"] = "adamw"
    learning_rate: float = Field(1e-4, gt=0)
    settle_batch_norm: Literal[False] = False

    @field_validator("checkpoint")
    @classmethod
    def _wherever_it_is_read(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.pool == "attention") != (self.epochs > 0):
            needed = "attention" if self.epochs else "mean or mean_max"
            msg = f"pool: expected {needed} with epochs: {self.epochs}, got {self.pool}"
            raise ValueError(msg)
        if self.epochs and self.bands != "pooled":
            msg = f"bands: expected pooled, which attention does, got {self.bands}"
            raise ValueError(msg)
        check_choice(self.back_end, self.neighbours, self.fusion)
        return self

    def front_end(self) -> PretrainedFrontEnd:
        """Load the weights; ConfigError if they are not what they should be."""
        return load_front_end(self.checkpoint, self.sha256, self.architecture, self.sample_rate_hz)

    def check(self) -> None:
        """Refuse weights that cannot be used, and windows that they do not take.

        Raises
        ------
        ConfigError
            With what is wrong.
        """
        front = self.front_end()
        least_s, most_s = front.window_limits_s()
        if self.window_s is not None and not least_s <= self.window_s <= most_s:
            msg = (
                f"window_s: expected {least_s:.2f} to {most_s:.2f} s, which is what this "
                f"{front.architecture} checkpoint takes, found {self.window_s:.2f} s"
            )
            raise ConfigError(f"{msg} (as long as the shortest clip, unless given)")


class Embedding(nn.Module):
    """Waveform to a few vectors of length 1."""

    def __init__(self, front: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.front = front
        self.head = head

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, vectors, values)`` of ``(batch, window_samples)``."""
        vectors: Tensor = self.head(self.front(waveform))
        return vectors


class PretrainedDetector(DetectorModule):
    """Waveform to patches to what the back ends, with a bank per target, find odd in them."""

    def __init__(self, front: nn.Module, scores: BandScores, facts: Mapping[str, object]) -> None:
        super().__init__()
        self.front = front
        self.scores = scores
        self._facts = dict(facts)

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, window_samples)``; higher = more anomalous."""
        scores: Tensor = self.scores(self.front(waveform), target)
        return scores.mean(1)

    @torch.jit.export
    def evidence(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, bands, moments)``: what each adds to the score."""
        added: Tensor = self.scores.of_patches(self.front(waveform), target)
        return added

    @torch.jit.unused
    def describe(self) -> dict[str, object]:
        """Return facts for the manifest."""
        return dict(self._facts)


class FineTuningTask:
    """Windows of all machines, with what the data set tells apart as classes."""

    def __init__(
        self,
        front: PretrainedFrontEnd,
        targets: Sequence[Target],
        recipe: PretrainedRecipe,
        features: FeatureCache,
    ) -> None:
        clips = [clip for target in targets for clip in target.clips]
        self._windows = LabelledWindows(
            clips, features, recipe.sample_rate_hz, recipe.window_samples, recipe.pseudo_classes
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
        """How many windows an epoch has."""
        return len(self._windows)

    def draw(self, indices: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """Return windows ``(batch, window_samples)`` and labels ``(batch, classes)``."""
        windows, labels = self._windows.draw(indices, generator)
        return mixup(windows, labels, self._mixup_probability, generator)


class Pretrained(Model[PretrainedRecipe, PretrainedFrontEnd | FineTuned]):
    """One published network for all machines, a bank for each target."""

    recipe = PretrainedRecipe

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """One network serves all machines."""
        return {NETWORK: tuple(targets)}

    def task(
        self, targets: Sequence[Target], recipe: PretrainedRecipe, features: FeatureCache
    ) -> Task[PretrainedFrontEnd | FineTuned]:
        """Load the weights, and train with them if there are epochs."""
        front = recipe.front_end()
        return (
            FineTuningTask(front, targets, recipe, features)
            if recipe.epochs
            else NoTrainingTask(front.requires_grad_(False))
        )

    def detector(
        self,
        networks: Mapping[str, PretrainedFrontEnd | FineTuned],
        targets: Mapping[str, Sequence[Target]],
        recipe: PretrainedRecipe,
        features: FeatureCache,
    ) -> DetectorModule:
        """Fit a bank for each target."""
        embedding = _embedding(networks[NETWORK], recipe)
        front = cast("PretrainedFrontEnd", embedding.front)
        facts: dict[str, object] = {
            "architecture": front.architecture,
            "checkpoint_sha256": recipe.sha256.lower(),
        }
        with on_a_gpu(embedding):
            count, values = _shape_of_vectors(embedding, recipe)
            described = facts | {"pool": recipe.pool, "bands": recipe.bands}
            vectors = WindowVectors(embedding, count * values, recipe, described)
            banks = [_fit(target, vectors, count, recipe, features) for target in targets[NETWORK]]
        facts |= {"vectors_per_window": count, "values_per_vector": values}
        facts |= {
            "evidence": "what each moment of a band adds to the score",
            "evidence_hop_s": HOP_S,
        }
        if recipe.bands == "apart":
            facts["evidence_bands_hz"] = front.band_centres_hz()
        device = next(embedding.parameters()).device
        scores = BandScores(embedding.head, banks)
        return PretrainedDetector(front, scores, facts).to(device).eval()


def _embedding(network: nn.Module, recipe: PretrainedRecipe) -> Embedding:
    if isinstance(network, FineTuned):
        return Embedding(without_additions(network.front), network.head).eval()
    return Embedding(network, PatchPooling(cast("Pool", recipe.pool), recipe.bands)).eval()


def _shape_of_vectors(embedding: Embedding, recipe: PretrainedRecipe) -> tuple[int, int]:
    """Return how many vectors a window has, and how many values each."""
    device = next(embedding.parameters()).device
    with torch.no_grad():
        vectors = embedding(torch.zeros(1, recipe.window_samples, device=device))
    return vectors.shape[1], vectors.shape[2]


def _fit(
    target: Target,
    vectors: WindowVectors,
    count: int,
    recipe: PretrainedRecipe,
    features: FeatureCache,
) -> ByBand:
    paths = [clip.path for clip in target.clips]
    if recipe.epochs:  # every network has its own vectors: not worth keeping
        sound = features.rows(paths, Waveform(recipe.sample_rate_hz))
        by_clip = [vectors(sound.of(i).t())[0] for i in range(len(paths))]
    else:
        kept = features.rows(paths, vectors)
        by_clip = [kept.of(i) for i in range(len(paths))]
    rows = torch.cat(by_clip)
    groups = torch.repeat_interleave(torch.tensor([len(each) for each in by_clip]))
    chosen = torch.linspace(0, len(rows) - 1, min(len(rows), recipe.bank_windows)).round().long()
    rows, groups = rows[chosen].reshape(len(chosen), count, -1), groups[chosen]
    backends = [fit_target(recipe, target, rows[:, i].contiguous(), groups) for i in range(count)]
    return ByBand(backends)
