"""Attribute the score of an event to frequency bands, where the model can localise."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asd_monitor.normal_sound.band_levels import DoubleArray, band_edges_hz

if TYPE_CHECKING:
    from asd_monitor.model_file.loaded_model import LoadedModel

MAX_WINDOWS = 4
"""Windows of the event, and as many before it: a model may need many passes for each."""
CENTRAL_FRACTION = 0.5

Windows = Sequence[npt.NDArray[np.float32]]


def attribute(
    model: "LoadedModel", target: int, counted: Windows, others: Windows
) -> DoubleArray | None:
    """Return the fraction of the score's rise by sixth-octave band, ``(bands,)``; they sum to 1.

    The evidence of a model may have any unit, so it is compared with that of windows before the
    event.

    Parameters
    ----------
    counted
        Windows that counted, ``(window_samples,)`` each.
    others
        Windows that did not count; there may be none.

    Returns
    -------
    numpy.ndarray or None
        None if the model cannot localise, does not say where its bands are, or attributes
        nothing.
    """
    centres_hz = model.manifest.description.get("evidence_bands_hz")
    if not (model.has_evidence and isinstance(centres_hz, Sequence) and len(counted)):
        return None
    rise = _mean_evidence(model, target, counted)
    if others:
        rise = rise - _mean_evidence(model, target, others)
    rise = np.maximum(np.nan_to_num(rise), 0.0)
    if len(rise) != len(centres_hz) or rise.sum() <= 0:
        return None
    edges = np.array(band_edges_hz(model.manifest.sample_rate_hz))
    return _rebin(rise, np.asarray(centres_hz, np.float64), edges)


def strongest_range_hz(fractions: DoubleArray, sample_rate_hz: int) -> tuple[float, float]:
    """Return the narrowest range of bands with half of the attributed score."""
    edges_hz = band_edges_hz(sample_rate_hz)
    sums = np.concatenate([[0.0], np.cumsum(fractions)])
    best = (0, len(fractions))
    for first in range(len(fractions)):
        last = int(np.searchsorted(sums, sums[first] + CENTRAL_FRACTION * sums[-1]))
        if last < len(sums) and last - first < best[1] - best[0]:
            best = (first, last)
    return edges_hz[best[0]], edges_hz[best[1]]


def _mean_evidence(model: "LoadedModel", target: int, windows: Windows) -> DoubleArray:
    """Return the mean absolute evidence by the model's bands, over a few windows."""
    spaced = np.unique(np.linspace(0, len(windows) - 1, MAX_WINDOWS).round().astype(int))
    maps = []
    for index in spaced:  # one at a time, so that a score never waits for a batch
        evidence = model.evidence(windows[index][None], np.array([target]))
        if evidence is None:
            raise ValueError("expected a model with evidence")
        maps.append(np.abs(evidence[0]).mean(1))
    return np.asarray(np.mean(maps, axis=0), np.float64)


def _rebin(values: DoubleArray, centres_hz: DoubleArray, edges_hz: DoubleArray) -> DoubleArray:
    """Distribute values at frequencies over bands, as if each extended half-way to the next."""
    middle = (centres_hz[:-1] + centres_hz[1:]) / 2
    borders = np.concatenate([[0.0], middle, [edges_hz[-1]]])
    borders = np.maximum.accumulate(np.minimum(borders, edges_hz[-1]))
    cumulative = np.concatenate([[0.0], np.cumsum(values)])
    shares = np.diff(np.interp(edges_hz, borders, cumulative))
    shares[0] += np.interp(edges_hz[0], borders, cumulative)
    total = shares.sum()
    return np.asarray(shares / total if total > 0 else shares)
