"""Follow tensors that are changed in place, and the views of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from asd_monitor.onnx.builder import GraphBuilder, NotConvertibleError
from asd_monitor.onnx.translation import TRANSLATORS, Call

_SCATTERS = {"slice": "slice_scatter", "select": "select_scatter"}
_RESHAPED = frozenset(("view", "_unsafe_view", "unsqueeze", "squeeze", "alias", "detach"))
_VIEWS = frozenset((*_SCATTERS, *_RESHAPED, "transpose", "t", "permute", "expand", "as_strided"))


@dataclass(frozen=True, slots=True)
class _View:
    view: Tensor
    base: Tensor
    operator: str
    arguments: tuple[Any, ...]


@dataclass
class Mutations:
    """The views of a recording, through which a change in place reaches other tensors."""

    graph: GraphBuilder
    _views: dict[int, _View] = field(default_factory=dict)

    def note_view(self, operator: str, arguments: tuple[Any, ...], result: object) -> None:
        """Note a tensor that may share its elements with the first argument."""
        if operator in _VIEWS and isinstance(result, Tensor):
            self._views[id(result)] = _View(result, arguments[0], operator, arguments[1:])

    def before(self, changed: Tensor) -> dict[int, Tensor]:
        """Return copies of the tensor and of those it is a view of, by identity."""
        return {
            id(tensor): tensor if self.graph.is_derived(tensor) else tensor.clone()
            for tensor in self._chain(changed)
        }

    def apply(self, changed: Tensor, before: dict[int, Tensor]) -> None:
        """Give the tensors that the changed one is a view of their new values."""
        chain = list(self._chain(changed))
        storage = changed.untyped_storage().data_ptr()
        for tensor in self._sharing(storage):
            if all(tensor is not member for member in chain):
                self.graph.invalidate(tensor)
        for tensor in chain[:-1]:
            view = self._views[id(tensor)]
            base = before[id(view.base)]
            if view.operator in _SCATTERS:
                call = Call(self.graph, (base, tensor, *view.arguments), view.base)
                value = TRANSLATORS[_SCATTERS[view.operator]](call)
            elif view.operator in _RESHAPED:
                value = self.graph.reshape(self.graph.name(tensor), tuple(view.base.shape))
            else:
                raise NotConvertibleError(f"it changes a tensor through {view.operator}")
            if isinstance(value, tuple):
                raise NotConvertibleError("it changes several tensors at once")
            self.graph.set_value(view.base, value)

    def _chain(self, tensor: Tensor) -> Iterator[Tensor]:
        yield tensor
        while id(tensor) in self._views:
            tensor = self._views[id(tensor)].base
            yield tensor

    def _sharing(self, storage: int) -> Iterator[Tensor]:
        views = [view.view for view in self._views.values()]
        for tensor in (*views, *self.graph.derived_tensors()):
            if not tensor.is_complex() and tensor.untyped_storage().data_ptr() == storage:
                yield tensor
