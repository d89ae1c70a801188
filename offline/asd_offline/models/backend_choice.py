"""Back ends by name, for recipes that let the user choose."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal, Protocol, get_args

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from asd_monitor.backends.density_ensemble import Standardisation
from asd_monitor.backends.density_neighbours import fit_density_neighbours
from asd_monitor.backends.domain_neighbours import fit_domain_neighbours
from asd_monitor.backends.fusion import Rule, fit_normalised_fusion
from asd_monitor.backends.gmm import fit_gmm
from asd_monitor.backends.kmeans import fit_cosine_kmeans
from asd_monitor.backends.lof import fit_lof
from asd_monitor.backends.mahalanobis import fit_mahalanobis
from asd_monitor.backends.neighbours import fit_neighbours
from asd_monitor.backends.selective_mahalanobis import fit_selective_mahalanobis
from asd_monitor.errors import DatasetError
from asd_offline.datasets.targets import Target

BackEnd = Literal[
    "density_neighbours",
    "neighbours",
    "domain_neighbours",
    "lof",
    "kmeans",
    "mahalanobis",
    "selective_mahalanobis",
    "gmm",
]
BACK_ENDS: tuple[BackEnd, ...] = get_args(BackEnd)
NEIGHBOURS: dict[BackEnd, int] = {
    "density_neighbours": 4,
    "neighbours": 1,
    "domain_neighbours": 1,
    "lof": 10,
}
"""How many neighbours those back ends look at that look at any, unless told otherwise."""
LEAST_RADIUS = 1e-3
"""Of the sphere that vectors of length 1 lie on; closer than this is rounding."""
COMPONENTS = 2
"""Gaussians of the mixture."""


def _each_once(names: tuple[BackEnd, ...]) -> tuple[BackEnd, ...]:
    if len(set(names)) < len(names):
        raise ValueError("expected each back end once")
    return names


Several = Annotated[tuple[BackEnd, ...], Field(min_length=2), AfterValidator(_each_once)]
Choice = BackEnd | Several
"""One back end, or several whose scores are put together."""


def check_choice(choice: Choice, neighbours: int | None, fusion: Rule | None) -> None:
    """Refuse what would do nothing.

    Raises
    ------
    ValueError
        If no chosen back end looks at neighbours, but their number is given; if a single one is to
        be put together.
    """
    names = (choice,) if isinstance(choice, str) else choice
    if neighbours and not any(name in NEIGHBOURS for name in names):
        msg = f"neighbours: back end {' and '.join(names)} looks at none; leave it out"
        raise ValueError(msg)
    if fusion and len(names) < 2:
        msg = f"fusion: back end {names[0]} stands alone; name several, or leave it out"
        raise ValueError(msg)


def fit_chosen(
    choice: Choice,
    vectors: Tensor,
    groups: Tensor,
    target: Tensor,
    *,
    neighbours: int | None = None,
    fusion: Rule | None = None,
) -> nn.Module:
    """Fit what a recipe chooses on vectors of length 1.

    Parameters
    ----------
    choice
        One back end, or several, which score standardised by clips that were left out.
    vectors, groups, target, neighbours
        As for :func:`fit_named`.
    fusion
        How the scores of several become one; None: the least, which arXiv 2606.19269 found best.

    Raises
    ------
    ValueError
        If there are too few clips.
    """
    if isinstance(choice, str):
        return fit_named(choice, vectors, groups, target, neighbours)

    def fit(name: BackEnd, chosen: Tensor) -> nn.Module:
        return fit_named(name, vectors[chosen], groups[chosen], target[chosen], neighbours)

    fits: Sequence[partial[nn.Module]] = [partial(fit, name) for name in choice]
    return fit_normalised_fusion(fits, vectors, groups, rule=fusion or "min")


class Chooser(Protocol):
    """A recipe with a choice."""

    @property
    def back_end(self) -> Choice:
        """One back end or several."""

    @property
    def neighbours(self) -> int | None:
        """How many are looked at."""

    @property
    def fusion(self) -> Rule | None:
        """How several become one."""


def fit_target(recipe: Chooser, target: Target, vectors: Tensor, clips: Tensor) -> nn.Module:
    """Fit what a recipe chooses on a target's vectors of length 1.

    Parameters
    ----------
    vectors
        ``(items, dims)`` float32.
    clips
        ``(items,)`` int64: which of the target's clips each is from.

    Raises
    ------
    DatasetError
        If the target has too few clips for it.
    """
    domain = torch.tensor([clip.domain == "target" for clip in target.clips])[clips]
    choice, neighbours = recipe.back_end, recipe.neighbours
    try:
        return fit_chosen(
            choice, vectors, clips, domain, neighbours=neighbours, fusion=recipe.fusion
        )
    except ValueError as error:
        msg = f"{target.name}: its {len(target.clips)} clips give no bank: {error}"
        raise DatasetError(msg) from error


def fit_named(
    name: BackEnd, vectors: Tensor, groups: Tensor, target: Tensor, neighbours: int | None = None
) -> nn.Module:
    """Fit a back end on vectors of length 1.

    Parameters
    ----------
    vectors
        ``(items, dims)`` float32 of normal sound.
    groups
        ``(items,)`` int64: which clip each is from.
    target
        ``(items,)`` booleans: which are of the target domain.
    neighbours
        None: as in :data:`NEIGHBOURS`.

    Raises
    ------
    ValueError
        If there are too few clips.
    """
    count = neighbours or NEIGHBOURS.get(name, 1)
    if name == "density_neighbours":
        # Distances stay as they are, and lose less to rounding.
        mean = vectors.mean(0)
        centring = Standardisation(mean, torch.ones_like(mean))
        found = fit_density_neighbours(
            centring(vectors), groups, count=count, least_radius=LEAST_RADIUS
        )
        return nn.Sequential(centring, found)
    if name == "neighbours":
        return fit_neighbours(vectors, count=count, cosine=True)
    if name == "domain_neighbours":
        return fit_domain_neighbours(vectors, target, count=count, cosine=True)
    if name == "lof":
        return fit_lof(vectors, groups, count=count, cosine=True)
    if name == "kmeans":
        return fit_cosine_kmeans(vectors, target)
    if name == "selective_mahalanobis":
        return fit_selective_mahalanobis(vectors, target)
    if name == "gmm":
        return fit_gmm(vectors, components=COMPONENTS)
    return fit_mahalanobis(vectors)
