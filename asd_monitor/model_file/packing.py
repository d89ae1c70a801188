"""Write model files, which carry models from training to the monitor.

A model file is a TorchScript archive of the whole path from samples to score, with the manifest
and reference windows as extra files and ``integrity.json`` as its last member. For computers
without torch it also has graphs for onnxruntime (:mod:`asd_monitor.model_file.onnx_members`).
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asd_monitor.model_file.admission import scan_content
from asd_monitor.model_file.archive import seal, write_atomically
from asd_monitor.model_file.content import (
    MANIFEST,
    NORMAL_SOUND,
    REFERENCE_SCORES,
    REFERENCE_WINDOWS,
)
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_monitor.model_file.made_here import note_made
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.model_file.onnx_members import differs, make_members, read_module
from asd_monitor.model_file.reference_scores import (
    RTOL,
    make_default_windows,
    score_reference_windows,
)
from asd_monitor.model_file.runtimes import is_installed
from asd_monitor.model_file.shared_program import load_program
from asd_monitor.model_file.torchscript import serialise
from asd_monitor.normal_sound.statistics import NormalSound

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

EVIDENCE_RTOL = 1e-3
"""Of evidence by onnxruntime: it is often a small difference of large numbers."""
_MAX_REFERENCE_TARGETS = 16


def save(
    path: Path | str,
    module: "torch.jit.ScriptModule",
    manifest: Manifest,
    reference_windows: npt.NDArray[np.float32] | None = None,
    normal_sound: Mapping[str, NormalSound] | None = None,
) -> str:
    """Write a model file atomically, and return its SHA-256; parameters as of :func:`pack`.

    Raises
    ------
    ModelFileError
        If a score of the reference windows is not finite, or the file cannot be written.
    """
    content = pack(module, manifest, reference_windows, normal_sound)
    write_atomically(Path(path), content)
    return note_made(content)


def pack(
    module: "torch.jit.ScriptModule",
    manifest: Manifest,
    reference_windows: npt.NDArray[np.float32] | None = None,
    normal_sound: Mapping[str, NormalSound] | None = None,
    *,
    with_graphs: bool = True,
) -> bytes:
    """Return the content of a model file.

    Parameters
    ----------
    module
        ``forward(waveform (batch, window_samples), target (batch,)) -> (batch,)``, and
        optionally an exported ``evidence(waveform, target) -> (batch, bands, frames)``.
    reference_windows
        ``(n, window_samples)`` float32, or ``(n, channels, window_samples)``. Their scores are
        stored, and compared whenever the file is loaded. By default two synthetic windows: noise
        with a tone at -20 dBFS, and quiet noise.
    normal_sound
        Statistics of the normal sound of any of the targets.
    with_graphs
        Add ONNX graphs for computers without torch, if onnxruntime is installed and the module
        can be converted.

    Raises
    ------
    ModelFileError
        If a score of the reference windows is not finite, or the module uses an operator that no
        model file may use.
    """
    windows = make_default_windows(manifest) if reference_windows is None else reference_windows
    windows = np.ascontiguousarray(windows, dtype="<f4")
    count = max(len(windows), min(len(manifest.targets), _MAX_REFERENCE_TARGETS))
    targets = [i % len(manifest.targets) for i in range(count)]
    # Scores of the module as it will be loaded, not of the one in memory.
    loaded = load_program(serialise(module, {}), "cpu")
    model = LoadedModel(loaded.module, manifest, "", "cpu", program=loaded.program)
    scores = score_reference_windows(model, windows, targets)
    reference = {"targets": targets, "scores": scores.tolist()}
    extra = {
        MANIFEST: json.dumps(manifest.to_dict(), allow_nan=False).encode(),
        REFERENCE_SCORES: json.dumps(reference, allow_nan=False).encode(),
        REFERENCE_WINDOWS: windows.tobytes(),
    }
    if normal_sound:
        values = {target: sound.to_dict() for target, sound in normal_sound.items()}
        extra[NORMAL_SOUND] = json.dumps(values, allow_nan=False).encode()
    archive = serialise(module, extra)
    content = _add_graphs(archive, model, windows, targets) if with_graphs else None
    content = content or seal(archive)
    scan_content(content, Path(manifest.name))
    note_made(content)
    return content


def _add_graphs(
    archive: bytes, model: LoadedModel, windows: npt.NDArray[np.float32], targets: list[int]
) -> bytes | None:
    """Return the sealed archive with graphs for onnxruntime, if these give the same results."""
    if not is_installed("onnx"):
        return None
    manifest = model.manifest
    batch = windows[[index % len(windows) for index in range(len(targets))]], np.array(targets)
    for with_evidence in (True, False):
        members = make_members(model.module, manifest, archive, with_evidence=with_evidence)
        if not members:
            return None
        content = seal(archive, members)
        graphs = read_module(content, manifest, Path(manifest.name))
        other = LoadedModel(graphs, manifest, "", "cpu")
        if differs(model.score(*batch), other.score(*batch), RTOL["onnx"]):
            logger.warning("%s: no ONNX graphs: their scores differ", manifest.name)
            return None
        if not other.has_evidence:
            return content
        if not differs(model.evidence(*batch), other.evidence(*batch), EVIDENCE_RTOL):
            return content
        logger.warning("%s: no ONNX graphs of the evidence: it differs", manifest.name)
    return None
