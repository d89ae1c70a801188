"""Back ends by name, for recipes that let the user choose."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from asd_monitor.backends.density_ensemble import Standardisation
from asd_monitor.backends.density_neighbours import fit_density_neighbours
from asd_monitor.backends.domain_neighbours import fit_domain_neighbours
from asd_monitor.backends.kmeans import fit_cosine_kmeans
from asd_monitor.backends.lof import fit_lof
from asd_monitor.backends.mahalanobis import fit_mahalanobis
from asd_monitor.backends.neighbours import fit_neighbours

BackEnd = Literal[
    "density_neighbours", "neighbours", "domain_neighbours", "lof", "kmeans", "mahalanobis"
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
    return fit_mahalanobis(vectors)
