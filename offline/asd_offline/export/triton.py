"""Write a model repository of NVIDIA Triton from a model file."""

import json
import re
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

from asd_monitor.errors import ModelFileError
from asd_monitor.model_file import LoadPolicy, verify
from asd_monitor.model_file.archive import read_bytes, write_atomically
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.model_file.onnx_members import NONE, read_graphs
from asd_monitor.onnx.graph import Constant, ElementType, Graph, Stored, TensorType
from asd_monitor.onnx.module import SCORING
from asd_monitor.onnx.protobuf import encode

CONFIG, GRAPH = "config.pbtxt", "model.onnx"
VERSION = "1"
_TYPES = {
    ElementType.FLOAT: "TYPE_FP32",
    ElementType.DOUBLE: "TYPE_FP64",
    ElementType.INT64: "TYPE_INT64",
}


@dataclass(frozen=True, slots=True)
class TritonModel:
    """A model of the repository, which scores windows of one target."""

    name: str
    """Its folder, and its name in requests."""
    target: str
    folder: Path


def write_repository(model: Path, folder: Path, policy: LoadPolicy) -> list[TritonModel]:
    """Write a Triton model for each target of a model file; existing ones are replaced.

    A model is ``FOLDER/NAME/config.pbtxt`` and ``FOLDER/NAME/1/model.onnx``, which holds its
    weights. Sample rate, threshold and target are parameters of the configuration.

    Parameters
    ----------
    model
        The model file, which must have ONNX graphs.
    folder
        The model repository; it is created if missing.
    policy
        Which model files are accepted.

    Raises
    ------
    ModelFileError
        If the model file has no ONNX graphs or is refused, two targets have the same name for
        Triton, or the folder cannot be written.
    """
    verified = verify(model, policy)
    manifest = verified.manifest
    content = read_bytes(model)
    graphs = read_graphs(content, model)
    method = next((name for name in SCORING if f"{name}_0.onnx" in graphs), None)
    if method is None:
        raise ModelFileError(f"{model}: {NONE}")
    names = {target: triton_name(target) for target in manifest.targets}
    if len(set(names.values())) < len(names):
        listed = ", ".join(names)
        msg = f"{model}: targets need names that differ in letters and digits, found {listed}"
        raise ModelFileError(f"{msg}; rename them in the dataset, and learn or train again")
    written = []
    with zipfile.ZipFile(model) as archive:
        members = {name.partition("/")[2]: name for name in archive.namelist()}
        for number, (target, name) in enumerate(names.items()):
            graph = _self_contained(graphs[f"{method}_{number}.onnx"], archive, members)
            config = make_config(name, target, graph, manifest, verified.sha256)
            _write(folder / name, graph, config)
            written.append(TritonModel(name, target, folder / name))
    return written


def triton_name(target: str) -> str:
    """Return a target as the name of a Triton model.

    >>> triton_name("fan/id_00")
    'fan_id_00'
    """
    return re.sub(r"[^\w.-]", "_", target, flags=re.ASCII)


def make_config(name: str, target: str, graph: Graph, manifest: Manifest, sha256: str) -> str:
    """Return the ``config.pbtxt`` of a model: inputs, outputs and what a client must know."""
    parameters = {
        "target": target,
        "sample_rate_hz": str(manifest.sample_rate_hz),
        "window_samples": str(manifest.window_samples),
        "hop_samples": str(manifest.hop_samples),
        "model_file_sha256": sha256,
    }
    if target in manifest.thresholds:
        parameters["threshold"] = repr(manifest.thresholds[target].value)
    lines = [
        f"name: {json.dumps(name)}",
        'platform: "onnxruntime_onnx"',
        "max_batch_size: 0",
        *_tensors("input", graph.inputs),
        *_tensors("output", graph.outputs),
    ]
    for key, value in parameters.items():
        quoted = json.dumps(value)
        lines.append(f"parameters {{ key: {json.dumps(key)} value {{ string_value: {quoted} }} }}")
    return "\n".join(lines) + "\n"


def _tensors(field: str, tensors: tuple[TensorType, ...]) -> list[str]:
    return [
        f"{field} {{ name: {json.dumps(tensor.name)} data_type: {_TYPES[tensor.element_type]} "
        f"dims: [ {', '.join(map(str, tensor.shape))} ] }}"
        for tensor in tensors
    ]


def _self_contained(graph: Graph, archive: zipfile.ZipFile, members: dict[str, str]) -> Graph:
    """Return a graph with its weights as constants, and the waveform as its only input."""

    def with_data(constant: Constant) -> Constant:
        place = constant.data
        if not isinstance(place, Stored):
            return constant
        content = archive.read(members[place.location])
        return replace(constant, data=content[place.offset : place.offset + place.length])

    constants = tuple(map(with_data, graph.constants))
    return replace(graph, inputs=graph.inputs[:1], constants=constants)


def _write(folder: Path, graph: Graph, config: str) -> None:
    try:
        (folder / VERSION).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{folder}: cannot be created: {error.strerror}; choose another folder for --triton"
        raise ModelFileError(msg) from error
    write_atomically(folder / VERSION / GRAPH, encode(graph))
    write_atomically(folder / CONFIG, config.encode())
