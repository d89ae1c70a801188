"""Reference windows of a model file, and the comparison of their scores."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from asd_monitor.errors import ModelFileError
from asd_monitor.model_file.content import REFERENCE_SCORES, REFERENCE_WINDOWS, read_json
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_monitor.model_file.manifest import Manifest

RTOL = {"cpu": 1e-4, "cuda": 1e-3, "onnx": 1e-5}
ATOL = 1e-6
"""Rounding error of scores near zero, such as the logarithm of a probability of one."""


def make_default_windows(manifest: Manifest) -> npt.NDArray[np.float32]:
    """Return noise with a tone at -20 dBFS, and quiet noise."""
    random = np.random.default_rng(20200401)
    seconds = np.arange(manifest.window_samples) / manifest.sample_rate_hz
    noise = 0.1 * random.standard_normal((2, manifest.window_samples))
    noise[0] += 0.1 * np.sin(2 * np.pi * (manifest.sample_rate_hz / 16) * seconds)
    noise[1] *= 0.01
    near = np.clip(noise, -1, 1).astype(np.float32)
    if manifest.channels == 1:
        return near
    gains = 0.5 ** np.arange(manifest.channels, dtype=np.float32)
    return np.asarray(near[:, None] * gains[:, None], np.float32)


def score_reference_windows(
    model: LoadedModel, windows: npt.NDArray[np.float32], targets: list[int]
) -> npt.NDArray[np.float64]:
    """Score reference windows one at a time; target ``i`` gets window ``i % len(windows)``."""
    scores = [
        model.score(windows[i % len(windows)][None], np.array([target]))
        for i, target in enumerate(targets)
    ]
    result = np.concatenate(scores)
    if not np.all(np.isfinite(result)):
        msg = f"model {model.manifest.name}: its reference windows do not get finite scores"
        raise ModelFileError(msg)
    return result


def check_reference_scores(model: LoadedModel, members: Mapping[str, bytes], path: Path) -> None:
    """Raise ModelFileError unless the model reproduces the scores stored in its file."""
    reference = read_json(members, REFERENCE_SCORES, path)
    stored = members.get(REFERENCE_WINDOWS, b"")
    try:
        windows = np.frombuffer(stored, "<f4").reshape(-1, *model.manifest.window_shape)
        targets = [int(target) for target in cast("list[int]", reference["targets"])]
        expected = np.asarray(reference["scores"], dtype=np.float64)
        if not len(windows) or expected.shape != (len(targets),) or not len(targets):
            raise ValueError("windows, targets and scores do not match")
        scores = score_reference_windows(model, windows, targets)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: its reference windows cannot be used: {error}") from error
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error
    # Scores may be near zero, so the tolerance is relative to the largest of them.
    rtol = RTOL["onnx" if model.runtime == "onnx" else model.device]
    tolerance = rtol * float(np.abs(expected).max(initial=0.0)) + ATOL
    if not np.allclose(scores, expected, rtol=0, atol=tolerance):
        worst = int(np.argmax(np.abs(scores - expected)))
        msg = (
            f"{path}: does not reproduce its reference scores: window {worst}: "
            f"expected {expected[worst]:.6g}, got {scores[worst]:.6g} on {model.device}"
            f"{' with onnxruntime' if model.runtime == 'onnx' else ''}"
        )
        raise ModelFileError(msg)
