"""A loaded model, which scores windows: numpy arrays outside, torch or onnxruntime inside."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from asd_monitor.errors import ModelFileError
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.model_file.runtimes import ChosenRuntime
from asd_monitor.onnx.module import OnnxModule

if TYPE_CHECKING:
    import torch

    from asd_monitor.model_file.shared_program import Program
    from asd_monitor.normal_sound.statistics import NormalSound


MAX_LISTED_TARGETS = 20


class Voices(NamedTuple):
    """What a model measures of some windows."""

    scores: npt.NDArray[np.float64]
    """``(batch,)``, as of :meth:`LoadedModel.score`."""
    voices: npt.NDArray[np.float64]
    """``(batch, voices)`` log scores; ``(batch, 0)`` for a model without voices."""
    level_change_db: npt.NDArray[np.float64]
    """``(batch,)``: by how much all bands are louder than while learning; NaN if not measured."""


def _unknown(windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    return np.full(len(windows), np.nan)


class LoadedModel:
    """A model loaded by :func:`asd_monitor.model_file.load`.

    Attributes
    ----------
    manifest
        The manifest of its file.
    sha256
        Hash of the whole file, which identifies the model.
    device
        ``cpu`` or ``cuda``.
    normal_sound
        Statistics of the normal sound of each target that has them, by target.
    """

    def __init__(
        self,
        module: "torch.jit.ScriptModule | OnnxModule",
        manifest: Manifest,
        sha256: str,
        device: str,
        normal_sound: "Mapping[str, NormalSound]" = MappingProxyType({}),
        program: "Program | None" = None,
    ) -> None:
        self._module = module
        self._program = program  # as long as a model uses it, others can
        self.normal_sound = normal_sound
        self.manifest = manifest
        self.sha256 = sha256
        self.device = device

    @property
    def module(self) -> "torch.jit.ScriptModule":
        """The scripted module; ModelFileError if onnxruntime runs the model."""
        if isinstance(self._module, OnnxModule):
            msg = f"model {self.manifest.name}: this needs torch: pip install 'asd-monitor[torch]'"
            raise ModelFileError(msg)
        return self._module

    @property
    def runtime(self) -> ChosenRuntime:
        """What runs the model."""
        return "onnx" if isinstance(self._module, OnnxModule) else "torchscript"

    def _has(self, method: str) -> bool:
        if isinstance(self._module, OnnxModule):
            return self._module.has(method)
        return hasattr(self._module, method)

    def shares_program(self, other: "LoadedModel") -> bool:
        """Return whether both models are run by one compiled program."""
        return self._program is not None and self._program is other._program

    def score(
        self, windows: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Score windows; higher = more anomalous.

        Parameters
        ----------
        windows
            ``(batch, window_samples)`` float32 in [-1, 1]; of a model of several channels
            ``(batch, channels, window_samples)``.
        targets
            ``(batch,)`` int64, each an index into ``manifest.targets``.

        Returns
        -------
        numpy.ndarray
            ``(batch,)`` float64; not finite where the model fails on a window.

        Raises
        ------
        ValueError
            If a shape or a target does not fit the model.
        ModelFileError
            If the module fails, or its output is not of shape ``(batch,)``.
        """
        scores = self._call("forward", windows, targets)
        if scores.shape != (len(windows),):
            msg = f"the model gave scores of shape {scores.shape} for {len(windows)} windows"
            raise ModelFileError(msg)
        return scores.astype(np.float64)

    def score_voices(
        self, windows: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]
    ) -> Voices:
        """Score windows, and return what else the model measures.

        Arguments and errors are those of :meth:`score`.
        """
        has_change = self._has("measure")
        if not has_change and not self._has("voices"):
            empty = np.empty((len(windows), 0))
            return Voices(self.score(windows, targets), empty, _unknown(windows))
        values = self._call("measure" if has_change else "voices", windows, targets)
        if values.ndim != 2 or len(values) != len(windows) or values.shape[1] < 2:
            msg = f"the model gave voices of shape {values.shape} for {len(windows)} windows"
            raise ModelFileError(msg)
        columns = values.astype(np.float64)
        if has_change:
            return Voices(columns[:, 0], columns[:, 1:-1], columns[:, -1])
        return Voices(columns[:, 0], columns[:, 1:], _unknown(windows))

    @property
    def has_evidence(self) -> bool:
        """Whether the model can attribute its scores to bands and frames."""
        return self._has("evidence")

    def evidence(
        self, windows: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32] | None:
        """Attribute each score to bands and frames: ``(batch, bands, frames)``.

        None where the model has no evidence. Arguments and errors are those of :meth:`score`.
        """
        if not self.has_evidence:
            return None
        evidence = self._call("evidence", windows, targets)
        if evidence.ndim != 3 or len(evidence) != len(windows):
            msg = f"the model gave evidence of shape {evidence.shape} for {len(windows)} windows"
            raise ModelFileError(msg)
        return evidence.astype(np.float32)

    def target_index(self, name: str) -> int:
        """Return the index of a target in ``manifest.targets``.

        Raises
        ------
        ModelFileError
            If the model does not have this target; the message lists those it has.
        """
        try:
            return self.manifest.targets.index(name)
        except ValueError as error:
            targets = self.manifest.targets
            listed = ", ".join(targets[:MAX_LISTED_TARGETS])
            if len(targets) > MAX_LISTED_TARGETS:
                listed += f" and {len(targets) - MAX_LISTED_TARGETS} more"
            msg = f"model {self.manifest.name}: has no target {name!r}; it has: {listed}"
            raise ModelFileError(msg) from error

    def _call(
        self, method: str, windows: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.generic]:
        self._check_input(windows, targets)
        if isinstance(self._module, OnnxModule):
            try:
                return self._module.run(method, windows, targets)
            except RuntimeError as error:
                raise self._failure(method, error) from error
        import torch

        # torch warns of read-only arrays, so they are copied.
        if not (windows.flags.carray and windows.dtype == np.float32):
            windows = np.require(windows, np.float32, ["C", "W"])
        waveform = self._to_device(torch.from_numpy(windows))
        target = self._to_device(torch.from_numpy(np.require(targets, np.int64, ["C", "W"])))
        try:
            with torch.inference_mode():
                output = getattr(self._module, method)(waveform, target)
        except (RuntimeError, torch.jit.Error) as error:
            raise self._failure(method, error) from error
        if not isinstance(output, torch.Tensor):
            raise ModelFileError(f"model {self.manifest.name}: {method} returned no tensor")
        return cast("npt.NDArray[np.generic]", output.cpu().numpy())

    def _to_device(self, tensor: "torch.Tensor") -> "torch.Tensor":
        """Return a tensor on the device; only pinned memory is copied without a wait."""
        if self.device == "cpu":
            return tensor
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def _failure(self, method: str, error: Exception) -> ModelFileError:
        reason = str(error).strip().splitlines()[-1:]
        return ModelFileError(f"model {self.manifest.name}: {method} failed: {' '.join(reason)}")

    def _check_input(
        self, windows: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]
    ) -> None:
        expected = (len(targets), *self.manifest.window_shape)
        if windows.shape != expected or targets.ndim != 1:
            msg = f"expected windows of shape {expected}, got {windows.shape}"
            raise ValueError(msg)
        count = len(self.manifest.targets)
        if len(targets) and not (targets.min() >= 0 and targets.max() < count):
            msg = f"expected targets in [0, {count}), got {targets.min()} to {targets.max()}"
            raise ValueError(msg)
