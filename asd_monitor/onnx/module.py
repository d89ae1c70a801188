"""A model that onnxruntime runs: graphs of its methods, one for each target."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from asd_monitor.onnx.session import BoundGraph

SCORING = ("measure", "voices", "forward")
"""Methods whose first column, or only one, is the score; a file has one of them."""
EVIDENCE = "evidence"


class OnnxModule:
    """The methods of a model, which are run for one window at a time.

    Parameters
    ----------
    graphs
        The graph of each target, by the name of the method.
    """

    def __init__(self, graphs: Mapping[str, Sequence[BoundGraph]]) -> None:
        self._graphs = dict(graphs)

    def has(self, method: str) -> bool:
        """Return whether a method can be run."""
        return method in self._graphs

    def run(
        self, method: str, windows: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Return the results of a method for windows, or only the scores for ``forward``.

        Raises
        ------
        RuntimeError
            If onnxruntime fails.
        """
        stored = method
        if method == "forward":
            stored = next(name for name in SCORING if name in self._graphs)
        graphs = self._graphs[stored]
        results = [
            graphs[int(target)].run(np.require(window[None], np.float32, "C"))
            for window, target in zip(windows, targets, strict=True)
        ]
        if not results:
            return np.zeros((0, 2) if method in ("measure", "voices") else 0, np.float32)
        output = np.concatenate(results)
        return output[:, 0] if method == "forward" and output.ndim == 2 else output
