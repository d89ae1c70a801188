"""Backends by name, for recipes that let the user choose."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal, Protocol, get_args

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from asd_monitor.backends.density_ensemble import Standardisation
from asd_monitor.backends.density_neighbours import fit_density_neighbours
from asd_monitor.backends.domain_density_neighbours import fit_domain_density_neighbours
from asd_monitor.backends.domain_neighbours import fit_domain_neighbours
from asd_monitor.backends.fusion import Rule, fit_normalised_fusion
from asd_monitor.backends.gmm import fit_gmm
from asd_monitor.backends.kmeans import fit_cosine_kmeans
from asd_monitor.backends.lof import fit_lof
from asd_monitor.backends.mahalanobis import fit_mahalanobis
from asd_monitor.backends.neighbours import fit_neighbours
from asd_monitor.backends.selective_mahalanobis import fit_selective_mahalanobis
from asd_monitor.backends.variance_minimised_neighbours import fit_variance_minimised_neighbours
from asd_monitor.errors import DatasetError
from asd_offline.datasets.targets import Target

BackendName = Literal[
    "density_neighbours",
    "domain_density_neighbours",
    "variance_minimised_neighbours",
    "neighbours",
    "domain_neighbours",
    "lof",
    "kmeans",
    "mahalanobis",
    "selective_mahalanobis",
    "gmm",
]
BACKEND_NAMES: tuple[BackendName, ...] = get_args(BackendName)
DEFAULT_NEIGHBOURS: dict[BackendName, int] = {
    "density_neighbours": 4,
    "domain_density_neighbours": 16,
    "variance_minimised_neighbours": 1,
    "neighbours": 1,
    "domain_neighbours": 1,
    "lof": 10,
}
"""Number of neighbours of the backends that use neighbours, unless a recipe sets it."""
DEFAULT_TARGET_NEIGHBOURS = 9
"""Of ``domain_density_neighbours``, in the target domain, unless a recipe sets ``neighbours``."""
MIN_RADIUS = 1e-3
"""Distance between vectors of length 1; smaller distances are rounding errors."""
GMM_COMPONENTS = 2


def _check_distinct(names: tuple[BackendName, ...]) -> tuple[BackendName, ...]:
    if len(set(names)) < len(names):
        raise ValueError("expected each backend once")
    return names


BackendList = Annotated[
    tuple[BackendName, ...], Field(min_length=2), AfterValidator(_check_distinct)
]
BackendSpec = BackendName | BackendList
"""One backend, or several whose scores are fused."""


class HasBackendSettings(Protocol):
    """A recipe that chooses backends."""

    @property
    def backend(self) -> BackendSpec:
        """One backend or several."""

    @property
    def neighbours(self) -> int | None:
        """Number of neighbours; None: :data:`DEFAULT_NEIGHBOURS`."""

    @property
    def fusion(self) -> Rule | None:
        """How the scores of several backends are fused; None: their minimum."""


def check_backend_settings(settings: HasBackendSettings) -> None:
    """Check that every setting has an effect.

    Raises
    ------
    ValueError
        If ``neighbours`` is set but no chosen backend uses neighbours, or ``fusion`` is set for a
        single backend.
    """
    names = (settings.backend,) if isinstance(settings.backend, str) else settings.backend
    if settings.neighbours and not any(name in DEFAULT_NEIGHBOURS for name in names):
        msg = f"neighbours: not used by backend {' and '.join(names)}; leave it out"
        raise ValueError(msg)
    if settings.fusion and len(names) < 2:
        msg = f"fusion: {names[0]} is the only backend; name several, or leave fusion out"
        raise ValueError(msg)


def fit_target_backend(
    settings: HasBackendSettings, target: Target, vectors: Tensor, clips: Tensor
) -> nn.Module:
    """Fit the backend, or backends, that a recipe chooses for one target.

    Parameters
    ----------
    settings
        The recipe.
    target
        Whose vectors they are.
    vectors
        ``(items, dims)`` float32, each of length 1.
    clips
        ``(items,)`` int64: index of the target's clip that each vector is from.

    Raises
    ------
    DatasetError
        If the target has too few clips.
    """
    is_target_domain = torch.tensor([clip.domain == "target" for clip in target.clips])
    try:
        return fit_backends(
            settings.backend,
            vectors,
            clips,
            is_target_domain[clips],
            neighbours=settings.neighbours,
            fusion=settings.fusion,
        )
    except ValueError as error:
        msg = f"{target.name}: its {len(target.clips)} clips do not suffice for a backend: {error}"
        raise DatasetError(msg) from error


def fit_backends(
    spec: BackendSpec,
    vectors: Tensor,
    groups: Tensor,
    is_target_domain: Tensor,
    *,
    neighbours: int | None = None,
    fusion: Rule | None = None,
) -> nn.Module:
    """Fit one backend, or several and their fusion.

    Parameters
    ----------
    spec
        One backend; or several, whose scores are standardised on left-out clips.
    vectors, groups, is_target_domain, neighbours
        As for :func:`fit_backend`.
    fusion
        How the scores of several are fused; None: their minimum, the best of the fixed rules in
        arXiv 2606.19269.

    Raises
    ------
    ValueError
        If there are too few clips.
    """
    if isinstance(spec, str):
        return fit_backend(spec, vectors, groups, is_target_domain, neighbours)

    def fit(name: BackendName, chosen: Tensor) -> nn.Module:
        return fit_backend(
            name, vectors[chosen], groups[chosen], is_target_domain[chosen], neighbours
        )

    fits = [partial(fit, name) for name in spec]
    return fit_normalised_fusion(fits, vectors, groups, rule=fusion or "min")


def fit_backend(
    name: BackendName,
    vectors: Tensor,
    groups: Tensor,
    is_target_domain: Tensor,
    neighbours: int | None = None,
) -> nn.Module:
    """Fit a backend on vectors of length 1.

    Parameters
    ----------
    name
        Which backend.
    vectors
        ``(items, dims)`` float32 of normal sound.
    groups
        ``(items,)`` int64: index of the clip that each vector is from.
    is_target_domain
        ``(items,)`` booleans.
    neighbours
        None: as in :data:`DEFAULT_NEIGHBOURS`.

    Raises
    ------
    ValueError
        If there are too few clips.
    """
    count = neighbours or DEFAULT_NEIGHBOURS.get(name, 1)
    match name:
        case "density_neighbours":
            return _fit_centred(
                lambda centred: fit_density_neighbours(
                    centred, groups, count=count, min_radius=MIN_RADIUS
                ),
                vectors,
            )
        case "domain_density_neighbours":
            return _fit_centred(
                lambda centred: fit_domain_density_neighbours(
                    centred,
                    is_target_domain,
                    groups,
                    source_count=count,
                    target_count=neighbours or DEFAULT_TARGET_NEIGHBOURS,
                    min_radius=MIN_RADIUS,
                ),
                vectors,
            )
        case "variance_minimised_neighbours":
            return _fit_centred(
                lambda centred: fit_variance_minimised_neighbours(
                    centred, groups, count=count, min_radius=MIN_RADIUS
                ),
                vectors,
            )
        case "neighbours":
            return fit_neighbours(vectors, count=count, cosine=True)
        case "domain_neighbours":
            return fit_domain_neighbours(vectors, is_target_domain, count=count, cosine=True)
        case "lof":
            return fit_lof(vectors, groups, count=count, cosine=True)
        case "kmeans":
            return fit_cosine_kmeans(vectors, is_target_domain)
        case "mahalanobis":
            return fit_mahalanobis(vectors)
        case "selective_mahalanobis":
            return fit_selective_mahalanobis(vectors, is_target_domain)
        case "gmm":
            return fit_gmm(vectors, components=GMM_COMPONENTS)


def _fit_centred(fit: Callable[[Tensor], nn.Module], vectors: Tensor) -> nn.Module:
    # Subtracting the mean leaves distances as they are, but less of them is lost to rounding.
    mean = vectors.mean(0)
    centring = Standardisation(mean, torch.ones_like(mean))
    return nn.Sequential(centring, fit(centring(vectors)))
