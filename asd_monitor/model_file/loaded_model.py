"""A loaded model, which scores windows: numpy arrays outside, torch or onnxruntime inside."""

from collections.abc import Callable, Mapping
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


def _check_scores(scores: npt.NDArray[np.generic], count: int) -> npt.NDArray[np.float64]:
    if scores.shape != (count,):
        msg = f"the model gave scores of shape {scores.shape} for {count} windows"
        raise ModelFileError(msg)
    return scores.astype(np.float64)


def _make_voices(method: str, values: npt.NDArray[np.generic], count: int) -> Voices:
    """Return what a method has measured of some windows."""
    unknown = np.full(count, np.nan)
    if method == "forward":
        return Voices(_check_scores(values, count), np.empty((count, 0)), unknown)
    if values.ndim != 2 or len(values) != count or values.shape[1] < 2:
        msg = f"the model gave voices of shape {values.shape} for {count} windows"
        raise ModelFileError(msg)
    columns = values.astype(np.float64)
    if method == "measure":
        return Voices(columns[:, 0], columns[:, 1:-1], columns[:, -1])
    return Voices(columns[:, 0], columns[:, 1:], unknown)


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
        return _check_scores(self._call("forward", windows, targets), len(windows))

    @property
    def is_asynchronous(self) -> bool:
        """Whether a call returns before the scores are computed, as on a GPU."""
        return self.device == "cuda"

    def score_voices(
        self, windows: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]
    ) -> Voices:
        """Score windows, and return what else the model measures.

        Arguments and errors are those of :meth:`score`.
        """
        return self.begin_voices(windows, targets)()

    def begin_voices(
        self, windows: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]
    ) -> Callable[[], Voices]:
        """Begin to score windows; return what waits for the result of :meth:`score_voices`.

        A GPU works on several calls in turn, so that only the first result is waited for long.
        """
        method = next((name for name in ("measure", "voices") if self._has(name)), "forward")
        finish = self._begin(method, windows, targets)
        return lambda: _make_voices(method, finish(), len(windows))

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
        return self._begin(method, windows, targets)()

    def _begin(
        self, method: str, windows: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]
    ) -> Callable[[], npt.NDArray[np.generic]]:
        """Call a method; return what waits for its result, which is there unless on a GPU."""
        self._check_input(windows, targets)
        if isinstance(self._module, OnnxModule):
            try:
                values = self._module.run(method, windows, targets)
            except RuntimeError as error:
                raise self._failure(method, error) from error
            return lambda: values
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
        if output.device.type == "cpu":
            return lambda: cast("npt.NDArray[np.generic]", output.numpy())
        return self._copy_later(method, output)

    def _copy_later(
        self, method: str, output: "torch.Tensor"
    ) -> Callable[[], npt.NDArray[np.generic]]:
        """Begin to copy a result from the GPU; return what waits for it."""
        import torch

        copy = torch.empty(output.shape, dtype=output.dtype, pin_memory=True)
        copy.copy_(output, non_blocking=True)
        copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        copied.record()

        def finish() -> npt.NDArray[np.generic]:
            try:
                copied.synchronize()
            except RuntimeError as error:
                raise self._failure(method, error) from error
            return cast("npt.NDArray[np.generic]", copy.numpy())

        return finish

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
