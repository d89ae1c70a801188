"""What a network makes of each window of clips, computed where it is fastest."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from asd_offline.recipes import Recipe

BATCH = 8


class WindowVectors:
    """Clips to rows, one for each window: a front end for the feature cache.

    Parameters
    ----------
    network
        ``(batch, window_samples)`` to ``(batch, vectors, values)``.
    values
        Values of a row: all vectors of a window.
    recipe
        Window, hop and sample rate.
    facts
        Everything else that shapes the rows, as JSON.
    """

    def __init__(
        self, network: nn.Module, values: int, recipe: Recipe, facts: Mapping[str, object]
    ) -> None:
        self.sample_rate_hz = recipe.sample_rate_hz
        self.dims = values
        self._network = network
        self._window, self._hop = recipe.window_samples, recipe.hop_samples
        self._facts = facts

    def __call__(self, waveform: Tensor) -> Tensor:
        """Return ``(1, windows, values)`` of ``(1, samples)``."""
        windows = waveform[0].unfold(0, self._window, self._hop)
        device = next(self._network.parameters()).device
        with torch.no_grad():
            parts = [
                self._network(windows[first : first + BATCH].to(device)).flatten(1).cpu()
                for first in range(0, len(windows), BATCH)
            ]
        return torch.cat(parts).unsqueeze(0)

    def describe(self) -> dict[str, object]:
        """Return everything that shapes the result."""
        return {
            "front_end": "window_vectors",
            "sample_rate_hz": self.sample_rate_hz,
            "window_samples": self._window,
            "hop_samples": self._hop,
            "revision": 1,
            **self._facts,
        }


@contextmanager
def on_a_gpu(network: nn.Module) -> Iterator[None]:
    """Have a network on a GPU for a while, where there is one."""
    before = next(network.parameters()).device
    if torch.cuda.is_available():
        network.to("cuda")
    try:
        yield
    finally:
        network.to(before)
