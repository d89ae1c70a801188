"""Initialise what a model needs, since the limited child of a trial can open no file."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np

from asd_monitor.model_file.archive import seal
from asd_monitor.model_file.loading import load_verified
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.model_file.packing import pack
from asd_monitor.model_file.runtimes import ChosenRuntime
from asd_monitor.model_file.torchscript import script
from asd_monitor.onnx.graph import Constant, ElementType, Graph, Node, TensorType
from asd_monitor.onnx.protobuf import encode

_MANIFEST = Manifest("warm-up", "1", ("any",), 8000, 512, 512)


def warm_up(runtime: ChosenRuntime) -> None:
    """Use each part of the library of a runtime once."""
    if runtime == "onnx":
        _warm_up_onnxruntime()
    else:
        _warm_up_torch()


def _warm_up_onnxruntime() -> None:
    source = TensorType("waveform", ElementType.FLOAT, (1, 512))
    result = TensorType("v1", ElementType.FLOAT, (1,))
    axes = Constant(TensorType("c1", ElementType.INT64, (1,)), np.array([1], "<i8").tobytes())
    node = Node("ReduceMean", ("waveform", "c1"), ("v1",), {"keepdims": 0})
    members = {
        "extra/manifest.json": json.dumps(_MANIFEST.to_dict()).encode(),
        "extra/golden.json": b'{"targets": [0], "scores": [0.0]}',
        "extra/golden.f32": bytes(4 * 512),
        "forward_0.onnx": encode(Graph((node,), (source,), (result,), (axes,))),
    }
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in members.items():
            file.writestr(f"archive/{name}", content)
    load_verified(seal(archive.getvalue()), Path("warm-up"), "cpu", runtime="onnx")


def _warm_up_torch() -> None:
    import torch

    class Small(torch.nn.Module):
        """Use each of the libraries below torch once."""

        def __init__(self) -> None:
            super().__init__()
            self.convolution = torch.nn.Conv1d(1, 2, 3)
            self.linear = torch.nn.Linear(2, 1)

        def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            """Return a score of each window."""
            power = torch.fft.rfft(waveform).abs().square()
            scores: torch.Tensor = self.linear(self.convolution(power[:, None]).mean(2))
            return scores[:, 0] + 0 * target

    torch.set_num_threads(1)
    windows = np.zeros((1, 512), np.float32)
    content = pack(script(Small()), _MANIFEST, windows, with_graphs=False)
    load_verified(content, Path("warm-up"), "cpu")
