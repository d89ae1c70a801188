"""A network's embeddings of the windows of clips, as rows of the feature cache."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from asd_offline.recipes import Recipe

BATCH = 8


class WindowEmbeddings:
    """A front end for the feature cache with one row for each window.

    Parameters
    ----------
    network
        ``(batch, window_samples)``, or with several channels ``(batch, channels,
        window_samples)``, to ``(batch, vectors, values)``.
    dims
        Values of a row: of all vectors of a window.
    recipe
        Window, hop and sample rate.
    facts
        Everything else that affects the rows, JSON-ready.
    """

    def __init__(
        self, network: nn.Module, dims: int, recipe: Recipe, facts: Mapping[str, object]
    ) -> None:
        self.sample_rate_hz = recipe.sample_rate_hz
        self.dims = dims
        self._network = network
        self._window_samples, self._hop_samples = recipe.window_samples, recipe.hop_samples
        self._facts = facts

    def __call__(self, waveform: Tensor) -> Tensor:
        """Return ``(1, windows, dims)`` of ``(1, samples)`` or ``(1, channels, samples)``."""
        windows = waveform[0].unfold(-1, self._window_samples, self._hop_samples)
        if windows.dim() == 3:  # (channels, windows, window_samples)
            windows = windows.transpose(0, 1)
        device = next(self._network.parameters()).device
        with torch.no_grad():
            rows = [
                self._network(batch.to(device)).flatten(1).cpu()
                for batch in torch.split(windows, BATCH)
            ]
        return torch.cat(rows).unsqueeze(0)

    def describe(self) -> dict[str, object]:
        """Return all settings that affect the result."""
        return {
            "front_end": "window_embeddings",
            "sample_rate_hz": self.sample_rate_hz,
            "window_samples": self._window_samples,
            "hop_samples": self._hop_samples,
            "revision": 1,
            **self._facts,
        }


@contextmanager
def moved_to_gpu(network: nn.Module) -> Iterator[None]:
    """Move a network to a GPU, if there is one, inside the block."""
    device = next(network.parameters()).device
    if torch.cuda.is_available():
        network.to("cuda")
    try:
        yield
    finally:
        network.to(device)
