"""Record what a torch module computes for one window, as a graph.

The module runs once, and each operator that depends on the window becomes nodes of the graph; the
results of all others are constants. A module that was compiled to TorchScript can be recorded too,
since its operators pass through the same place in torch. Loops are unrolled, and a condition must
not depend on the sound: of several targets, each one has a graph.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from asd_monitor.onnx.builder import GraphBuilder, NotConvertibleError, Pair, Spectrum
from asd_monitor.onnx.graph import ElementType, Graph, TensorType
from asd_monitor.onnx.mutation import Mutations
from asd_monitor.onnx.translation import TRANSLATORS, Call

MAX_OPERATORS = 2000
WAVEFORM = "waveform"
_SHAPE_ONLY = frozenset(
    ("zeros_like", "ones_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_empty",
     "new_full", "new_empty_strided", "sym_size", "sym_numel")
)  # fmt: skip
"""Operators whose result depends on the shape of a tensor only."""


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Add each operator that depends on the input to a graph."""

    def __init__(self, graph: GraphBuilder, max_operators: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._max_operators = max_operators
        self.graph = graph
        self.problem = ""
        self._mutations = Mutations(graph)
        self._count = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: torch would import its compiler, which takes seconds and 150 MB."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - an operator of torch
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        name = func.overloadpacket.__name__
        arguments = _all_arguments(func, args, kwargs or {})
        is_derived = any(map(self.graph.is_derived, _tensors(arguments)))
        try:
            if func._schema.is_mutable and name.endswith("_"):
                return self._change(func, name, arguments, is_derived=is_derived)
            result = func(*args, **(kwargs or {}))
            self._mutations.note_view(name, arguments, result)
            if is_derived and name not in _SHAPE_ONLY:
                self._translate(name, arguments, result)
        except NotConvertibleError as error:
            self.problem = self.problem or str(error)
            raise
        return result

    def _change(
        self,
        func: Any,  # noqa: ANN401
        name: str,
        arguments: tuple[Any, ...],
        *,
        is_derived: bool,
    ) -> Tensor:
        """Call an operator that changes its first argument in place, as one that does not."""
        changed: Tensor = arguments[0]
        before = self._mutations.before(changed) if is_derived else {}
        positional = [item.name for item in func._schema.arguments if not item.kwarg_only]
        keywords = {
            item.name: value
            for item, value in zip(func._schema.arguments, arguments, strict=True)
            if item.kwarg_only
        }
        func(*arguments[: len(positional)], **keywords)
        if is_derived:
            arguments = (before[id(changed)], *arguments[1:])
            self._translate(name.removesuffix("_"), arguments, changed)
            self._mutations.apply(changed, before)
        else:
            self.graph.forget_weights()
        return changed

    def _translate(self, name: str, arguments: tuple[Any, ...], result: object) -> None:
        self._count += 1
        if name == "equal":
            raise NotConvertibleError("it compares tensors to decide what to compute")
        if self._count > self._max_operators:
            msg = f"it needs more than {self._max_operators} operators"
            raise NotConvertibleError(msg)
        if name not in TRANSLATORS:
            raise NotConvertibleError(f"it uses the operator {name}")
        call = Call(self.graph, arguments, result)
        value = TRANSLATORS[name](call)
        if not isinstance(value, tuple) or isinstance(value, (Pair, Spectrum)):
            self.graph.set_value(call.output, value)
            return
        results = result if isinstance(result, (tuple, list)) else (result,)
        for tensor, part in zip(results, value, strict=False):
            self.graph.set_value(tensor, part)


def record(
    method: Callable[[Tensor, Tensor], Tensor],
    window_shape: tuple[int, ...],
    target: int,
    max_operators: int = MAX_OPERATORS,
) -> Graph:
    """Record a method of a module.

    Parameters
    ----------
    method
        ``(waveform (1, *window_shape), target (1,)) -> tensor``.
    window_shape
        Shape of a window.
    target
        Index of the target.
    max_operators
        A method of more operators is not recorded.

    Returns
    -------
    Graph
        With the input ``waveform`` and one output.

    Raises
    ------
    NotConvertibleError
        If the method does what no graph can do.
    """
    builder = GraphBuilder()
    recorder = _Recorder(builder, max_operators)
    random = torch.Generator().manual_seed(0)
    waveform = 0.1 * torch.randn(1, *window_shape, generator=random)
    index = torch.full((1,), target)
    builder.set_value(waveform, WAVEFORM)
    try:
        with torch.no_grad(), recorder:
            output = method(waveform, index)
    except (RuntimeError, NotConvertibleError, torch.jit.Error) as error:
        raise NotConvertibleError(
            recorder.problem or f"it fails: {type(error).__name__}"
        ) from error
    return _finish(builder, output, window_shape)


def _finish(builder: GraphBuilder, output: Tensor, window_shape: tuple[int, ...]) -> Graph:
    if not builder.is_derived(output):
        raise NotConvertibleError("its result does not depend on the sound")
    name = builder.name(output)
    result = TensorType(name, ElementType.FLOAT, tuple(output.shape))
    if output.dtype != torch.float32:
        result = TensorType(builder.cast(name, torch.float32), result.element_type, result.shape)
    waveform = TensorType(WAVEFORM, ElementType.FLOAT, (1, *window_shape))
    return Graph(
        tuple(builder.nodes),
        (waveform, *(weight.type for weight in builder.weights)),
        (result,),
        (*builder.constants.values(), *builder.weights),
    )


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)


def _all_arguments(
    func: Any,  # noqa: ANN401
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> tuple[Any, ...]:
    """Return the arguments of an operator with the defaults of those that were not given."""
    schema = func._schema.arguments[len(args) :]
    rest = [kwargs.get(item.name, item.default_value) for item in schema]
    return (*args, *rest)
