"""Local density by two measures in two geometries, with one voice each."""

from torch import Tensor, nn

from asd_monitor.backends.density_neighbours import fit_density_neighbours
from asd_monitor.backends.lof import fit_lof
from asd_monitor.backends.mahalanobis import fit_whitening


class DensityEnsemble(nn.Module):
    """Mean of the logs of four scores that lie about 1 for normal sound.

    Parameters
    ----------
    scaling
        ``(batch, dims)`` to the same, each dimension on its own scale.
    whitening
        From there to where normal sound spreads alike in all directions.
    scaled, whitened
        Back ends for either, ``(batch, dims)`` to positive ``(batch,)``.
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
        self.least = 1e-6

    def forward(self, features: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``features`` ``(batch, dims)``; about 0 for normal."""
        scaled: Tensor = self.scaling(features)
        whitened: Tensor = self.whitening(scaled)
        total = features.new_zeros(features.shape[0])
        for backend in self.scaled:
            total = total + (backend(scaled) + self.least).log()
        for backend in self.whitened:
            total = total + (backend(whitened) + self.least).log()
        return total / 4.0


class Standardisation(nn.Module):
    """Take ``mean`` ``(dims,)`` off and divide by ``std`` ``(dims,)``."""

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
    least_std: float = 1e-3,
) -> DensityEnsemble:
    """Fit LOF and density-normalised neighbours, each on standardised and on whitened features.

    Which distance serves best depends on how many vectors there are: the whitened one with few,
    LOF with many. Their mean needs no choice.

    Parameters
    ----------
    features
        ``(items, dims)`` float32 feature vectors of normal sound.
    groups
        ``(items,)`` or ``(items, items)``, see
        :func:`~asd_monitor.backends.distances.among_references`.
    lof_count, density_count
        Neighbours that densities are taken over.
    least_std
        Smallest standard deviation of a dimension, in units of the features.

    Raises
    ------
    ValueError
        If some item has no neighbour outside its group.
    """
    std = features.std(0, correction=0).clamp_min(least_std)
    scaling = Standardisation(features.mean(0), std)
    scaled = scaling(features)
    whitening = fit_whitening(scaled)
    pairs = [
        (
            fit_lof(each, groups, count=lof_count),
            fit_density_neighbours(each, groups, count=density_count),
        )
        for each in (scaled, whitening(scaled))
    ]
    return DensityEnsemble(scaling, whitening, pairs[0], pairs[1])
