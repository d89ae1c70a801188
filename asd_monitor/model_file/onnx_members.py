"""The members of a model file with which onnxruntime scores it, where torch is not installed.

``<method>_<target>.onnx`` is an ONNX graph of a method for a target. Its weights are *external
data*: places in the members of TorchScript (``data/0`` ...), which the file has anyway, and in
``onnx.data``. An unpacked archive is therefore a folder that any program for ONNX can read.
"""

import hashlib
import io
import logging
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asd_monitor.errors import ModelFileError
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.onnx.check import EXTERNAL_MEMBER, check
from asd_monitor.onnx.graph import Constant, Graph, Stored
from asd_monitor.onnx.module import EVIDENCE, SCORING, OnnxModule
from asd_monitor.onnx.protobuf import decode, encode

if TYPE_CHECKING:
    import torch

MAX_TARGETS = 64
"""A file of more targets has no graphs: each target needs its own."""
MAX_EVIDENCE_OPERATORS = 500
"""Evidence of more operators covers parts of the sound in turn, and takes a minute to record."""
MIN_EXTERNAL_BYTES = 1024
MAX_GRAPH_BYTES = 2**26
MEMBER = re.compile(r"(measure|voices|forward|evidence)_\d{1,4}\.onnx|onnx\.data")
NONE = (
    "has no ONNX graphs, so it needs torch: pip install 'asd-monitor[torch]', or learn or export "
    "it again with this version on a computer that has torch"
)

logger = logging.getLogger(__name__)


def make_members(
    module: "torch.jit.ScriptModule", manifest: Manifest, archive: bytes, *, with_evidence: bool
) -> dict[str, bytes]:
    """Return the members for onnxruntime of a module, by name without the folder; or none.

    Parameters
    ----------
    module
        The module as it was loaded from the archive.
    manifest
        Its manifest.
    archive
        The archive of TorchScript, whose tensors are not stored again.
    with_evidence
        Add the graphs of the evidence, if the module has it.
    """
    from asd_monitor.onnx.builder import NotConvertibleError
    from asd_monitor.onnx.recording import MAX_OPERATORS

    if len(manifest.targets) > MAX_TARGETS:
        logger.info("%s: no ONNX graphs: more than %d targets", manifest.name, MAX_TARGETS)
        return {}
    data = _Data(archive)
    scoring = next(name for name in SCORING if hasattr(module, name))
    try:
        graphs = dict(_record(module, manifest, scoring, MAX_OPERATORS))
    except NotConvertibleError as error:
        logger.info("%s: cannot be scored without torch: %s", manifest.name, error)
        return {}
    if with_evidence and hasattr(module, EVIDENCE):
        try:
            graphs |= dict(_record(module, manifest, EVIDENCE, MAX_EVIDENCE_OPERATORS))
        except NotConvertibleError as error:
            logger.info("%s: no evidence without torch: %s", manifest.name, error)
    members = {name: encode(data.store(graph)) for name, graph in graphs.items()}
    return members | {EXTERNAL_MEMBER: bytes(data.added)}


def _record(
    module: "torch.jit.ScriptModule", manifest: Manifest, method: str, max_operators: int
) -> Iterator[tuple[str, Graph]]:
    from asd_monitor.onnx.recording import record

    for target in range(len(manifest.targets)):
        graph = record(getattr(module, method), manifest.window_shape, target, max_operators)
        yield f"{method}_{target}.onnx", graph


class _Data:
    """Find the data of constants in an archive, and collect what is not there."""

    def __init__(self, archive: bytes) -> None:
        self.added = bytearray()
        self._known: dict[bytes, Stored] = {}
        self._members: dict[str, bytes] = {}
        with zipfile.ZipFile(io.BytesIO(archive)) as file:
            for name in file.namelist():
                location = name.partition("/")[2]
                if re.fullmatch(r"(data|constants)/\d+", location):
                    self._members[location] = file.read(name)

    def store(self, graph: Graph) -> Graph:
        """Return a graph whose large constants are external data."""
        return replace(graph, constants=tuple(map(self._store, graph.constants)))

    def _store(self, constant: Constant) -> Constant:
        data = constant.data
        if isinstance(data, Stored) or len(data) < MIN_EXTERNAL_BYTES:
            return constant
        key = hashlib.sha256(data).digest()
        if key not in self._known:
            self._known[key] = self._find(data) or self._add(data)
        return replace(constant, data=self._known[key])

    def _find(self, data: bytes) -> Stored | None:
        """Return where the archive has the data: a whole tensor, or one of its equal parts."""
        length, start = len(data), data[:64]
        for location, content in self._members.items():
            for offset in range(0, len(content) - length + 1, length):
                is_start = content[offset : offset + 64] == start
                if is_start and content[offset : offset + length] == data:
                    return Stored(location, offset, length)
        return None

    def _add(self, data: bytes) -> Stored:
        place = Stored(EXTERNAL_MEMBER, len(self.added), len(data))
        self.added += data
        return place


def read_graphs(content: bytes, path: Path) -> dict[str, Graph]:
    """Return the checked graphs of a model file by their name; empty if it has none.

    Raises
    ------
    ModelFileError
        If a graph is damaged, or has what no model needs.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sizes = {info.filename.partition("/")[2]: info.file_size for info in archive.infolist()}
        graphs = {}
        for info in archive.infolist():
            name = info.filename.partition("/")[2]
            if not (MEMBER.fullmatch(name) and name.endswith(".onnx")):
                continue
            try:
                if info.file_size > MAX_GRAPH_BYTES:
                    raise ValueError(f"expected at most {MAX_GRAPH_BYTES} bytes")
                graph = decode(archive.read(info))
                check(graph, sizes)
            except ValueError as error:
                msg = f"{path}: {name}: {error}; no model file of asd-monitor has that"
                raise ModelFileError(msg) from error
            graphs[name] = graph
    return graphs


def read_module(content: bytes, manifest: Manifest, path: Path) -> OnnxModule:
    """Return the model of an admitted file for onnxruntime.

    Raises
    ------
    ModelFileError
        If the file has no graphs, or onnxruntime refuses them.
    """
    graphs = read_graphs(content, path)
    if not can_score(graphs, manifest):
        raise ModelFileError(f"{path}: {NONE}")
    methods = _complete_methods(graphs, manifest)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = {name.partition("/")[2]: name for name in archive.namelist()}
        return _bind(methods, manifest, lambda location: archive.read(names[location]), path)


def can_score(graphs: Mapping[str, Graph], manifest: Manifest) -> bool:
    """Return whether each target has a graph of the scores."""
    return any(method in _complete_methods(graphs, manifest) for method in SCORING)


def _complete_methods(graphs: Mapping[str, Graph], manifest: Manifest) -> dict[str, list[Graph]]:
    """Return the graphs of the methods that each target has."""
    methods = {}
    for method in (*SCORING, EVIDENCE):
        names = [f"{method}_{target}.onnx" for target in range(len(manifest.targets))]
        if all(name in graphs for name in names):
            methods[method] = [graphs[name] for name in names]
    return methods


def _bind(
    methods: Mapping[str, list[Graph]],
    manifest: Manifest,
    read_member: Callable[[str], bytes],
    path: Path,
) -> OnnxModule:
    from asd_monitor.onnx.session import BoundGraph, Weights

    weights = Weights(read_member)
    bound: dict[str, list[BoundGraph]] = {}
    try:
        for method, graphs in methods.items():
            for graph in graphs:
                if graph.inputs[0].shape != (1, *manifest.window_shape):
                    raise ValueError(f"expected windows of shape {manifest.window_shape}")
            bound[method] = [BoundGraph(graph, weights) for graph in graphs]
    except (RuntimeError, ValueError, IndexError) as error:
        reason = str(error).strip().splitlines()[-1:]
        msg = f"{path}: onnxruntime cannot load it: {' '.join(reason)}"
        raise ModelFileError(msg) from error
    return OnnxModule(bound)


def differs(
    expected: npt.NDArray[np.generic] | None, found: npt.NDArray[np.generic] | None, rtol: float
) -> bool:
    """Return whether results differ by more than rounding, relative to the largest of them."""
    if expected is None or found is None or expected.shape != found.shape:
        return True
    values = expected.astype(np.float64)
    tolerance = rtol * float(np.abs(values).max(initial=0.0)) + 1e-6
    return not np.allclose(found, values, rtol=0, atol=tolerance)
