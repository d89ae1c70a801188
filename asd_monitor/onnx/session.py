"""Run graphs with onnxruntime; files of one program share a session, and differ in weights."""

import hashlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, cast
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from asd_monitor.onnx.graph import Constant, Graph, Stored
from asd_monitor.onnx.protobuf import encode

if TYPE_CHECKING:
    import onnxruntime

_ERRORS_ONLY = 3


class Session:
    """A session of onnxruntime for one program, used by any number of threads."""

    def __init__(self, content: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        options.use_deterministic_compute = True
        self.session: onnxruntime.InferenceSession = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
        self.session._model_bytes = None  # kept by onnxruntime for other providers


_sessions: WeakValueDictionary[str, Session] = WeakValueDictionary()
_sessions_lock = threading.Lock()


def open_session(program: Graph) -> Session:
    """Return the session of a program, which files of the same program share."""
    content = encode(program)
    key = hashlib.sha256(content).hexdigest()
    with _sessions_lock:
        session = _sessions.get(key)
        if session is None:
            session = _sessions[key] = Session(content)
        return session


class Weights:
    """The weights of a file; those that several graphs use are one tensor.

    Parameters
    ----------
    read_member
        Returns the content of a member of the archive that constants refer to.
    """

    def __init__(self, read_member: Callable[[str], bytes]) -> None:
        self._read_member = read_member
        self._values: dict[tuple[object, ...], onnxruntime.OrtValue] = {}

    def read(self, constant: Constant) -> bytes:
        """Return the data of a constant."""
        data = constant.data
        if isinstance(data, Stored):
            return self._read_member(data.location)[data.offset : data.offset + data.length]
        return data

    def value(self, constant: Constant) -> "onnxruntime.OrtValue":
        """Return the tensor of a constant."""
        import onnxruntime

        tensor = constant.type
        key = (constant.data, tensor.element_type, tensor.shape)
        if key not in self._values:
            array = np.frombuffer(self.read(constant), tensor.element_type.dtype)
            array = array.reshape(tensor.shape)
            self._values[key] = onnxruntime.OrtValue.ortvalue_from_numpy(array)
        return self._values[key]


class BoundGraph:
    """A program with the weights of one file, used by any number of threads.

    Parameters
    ----------
    graph
        A checked graph, whose first input is the waveform.
    weights
        Those of its file.

    Raises
    ------
    RuntimeError
        If onnxruntime refuses the graph.
    """

    def __init__(self, graph: Graph, weights: Weights) -> None:
        program = graph.program
        inline = (replace(item, data=weights.read(item)) for item in program.constants)
        self._session = open_session(replace(program, constants=tuple(inline)))
        self._waveform = graph.inputs[0].name
        self._output = graph.outputs[0].name
        self._values = [(weight.type.name, weights.value(weight)) for weight in graph.weights]
        # Each call needs a binding of its own; there are as many as calls at the same time.
        self._unused = deque([self._bind_weights()])

    def _bind_weights(self) -> "onnxruntime.IOBinding":
        binding = self._session.session.io_binding()
        for name, value in self._values:
            binding.bind_ortvalue_input(name, value)
        binding.bind_output(self._output, "cpu")
        return binding

    def run(self, window: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the output for one window ``(1, ...)``; RuntimeError if it fails."""
        try:
            binding = self._unused.pop()
        except IndexError:
            binding = self._bind_weights()
        try:
            binding.bind_cpu_input(self._waveform, window)
            self._session.session.run_with_iobinding(binding)
            return cast("npt.NDArray[np.float32]", binding.copy_outputs_to_cpu()[0])
        finally:
            self._unused.append(binding)
