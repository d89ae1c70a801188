"""Mean of two local densities, each in two geometries."""

from torch import Tensor, nn

from asd_monitor.backends.density_neighbours import fit_density_neighbours
from asd_monitor.backends.lof import fit_lof
from asd_monitor.backends.mahalanobis import fit_whitening


class DensityEnsemble(nn.Module):
    """Mean of the logarithms of four scores that are about 1 for normal sound.

    Parameters
    ----------
    scaling
        Standardises each dimension of ``(batch, dims)``.
    whitening
        Whitens the result.
    scaled, whitened
        Backends for the two, ``(batch, dims)`` to positive ``(batch,)``.
    """

    def __init__(
        self,
        scaling: nn.Module,
        whitening: nn.Module,
        scaled: tuple[nn.Module, nn.Module],
        whitened: tuple[nn.Module, nn.Module],
    ) -> None:
        super().__init__()
        self.scaling = scaling
        self.whitening = whitening
        self.scaled = nn.ModuleList(scaled)
        self.whitened = nn.ModuleList(whitened)
        self.epsilon = 1e-6

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``features`` ``(batch, dims)``; about 0 for normal."""
        scaled: Tensor = self.scaling(features)
        whitened: Tensor = self.whitening(scaled)
        total = features.new_zeros(features.shape[0])
        for backend in self.scaled:
            total = total + (backend(scaled) + self.epsilon).log()
        for backend in self.whitened:
            total = total + (backend(whitened) + self.epsilon).log()
        return total / 4.0


class Standardisation(nn.Module):
    """Subtraction of ``mean`` ``(dims,)`` and division by ``std`` ``(dims,)``."""

    mean: Tensor
    inverse_std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("inverse_std", std.reciprocal())

    def forward(self, features: Tensor) -> Tensor:
        """Return the standardised ``(batch, dims)``."""
        return (features - self.mean) * self.inverse_std


def fit_density_ensemble(
    features: Tensor,
    groups: Tensor | None = None,
    *,
    lof_count: int = 10,
    density_count: int = 4,
    min_std: float = 1e-3,
) -> DensityEnsemble:
    """Fit LOF and density-normalised neighbours, each on standardised and on whitened features.

    Which of them is best depends on the number of vectors: whitening helps with few, LOF is best
    with many. Their mean avoids the choice.

    Parameters
    ----------
    features
        ``(items, dims)`` float32 feature vectors of normal sound.
    groups
        ``(items,)`` or ``(items, items)``, see
        :func:`~asd_monitor.backends.distances.distances_within`.
    lof_count, density_count
        Numbers of neighbours of the two densities.
    min_std
        Minimum standard deviation of a dimension, in units of the features.

    Raises
    ------
    ValueError
        If an item has no neighbour outside its group.
    """
    std = features.std(0, correction=0).clamp_min(min_std)
    scaling = Standardisation(features.mean(0), std)
    scaled = scaling(features)
    whitening = fit_whitening(scaled)
    scaled_backends, whitened_backends = (
        (
            fit_lof(vectors, groups, count=lof_count),
            fit_density_neighbours(vectors, groups, count=density_count),
        )
        for vectors in (scaled, whitening(scaled))
    )
    return DensityEnsemble(scaling, whitening, scaled_backends, whitened_backends)
