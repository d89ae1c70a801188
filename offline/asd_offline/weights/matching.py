"""Match the tensors of weight files with those of a network, by name and shape."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from asd_monitor.errors import ConfigError
from asd_offline.weights.name_map import WeightNameMap
from asd_offline.weights.reader import WeightFile

FRONT_ENDS = "asd_offline.features.frontends"
"""Modules defined there follow from the recipe, so their buffers are not loaded."""
MAX_LISTED = 4


@runtime_checkable
class HasClassNames(Protocol):
    """A network whose class layers have named rows."""

    class_names: Sequence[str]


@dataclass(frozen=True)
class MatchReport:
    """Which tensors of a network were loaded from files."""

    loaded: int
    """Number of tensors."""
    total: int
    """Number of the network's tensors, front end excluded."""
    left_out: tuple[str, ...] = ()
    """Tensors of the files that were not loaded, with shape and reason."""
    uninitialised: tuple[str, ...] = ()
    """Tensors of the network that still have their random initial values."""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return asdict(self)


class WeightMatcher:
    """Loads the tensors of files into one network.

    Parameters
    ----------
    network
        Untrained.
    name_map
        The authors' names of its tensors; None if files must use the network's own names.
    """

    def __init__(self, network: nn.Module, name_map: WeightNameMap | None) -> None:
        self._network = network
        self._name_map = name_map
        self._modules = name_map.modules(network) if name_map else {}
        self._class_layers = name_map.class_layers if name_map else ()
        front_ends = tuple(
            f"{name}."
            for name, module in network.named_modules()
            if type(module).__module__ == FRONT_ENDS
        )
        self._expected = {
            name: tensor
            for name, tensor in network.state_dict().items()
            if not name.startswith(front_ends)
        }
        self._loaded: dict[str, Tensor] = {}
        self._loaded_from: dict[str, WeightFile] = {}
        self._left_out: list[str] = []
        self._notes: list[str] = []
        self._matched_by_class_name = False

    def load_from(self, files: Sequence[WeightFile]) -> MatchReport:
        """Load all tensors that match.

        Raises
        ------
        ConfigError
            If none matches, two files have the same tensor, or values are not finite.
        """
        all_names = set(self._network.state_dict())
        for file in files:
            for source_name, source_tensor in file.tensors.items():
                name, tensor = self._translate(source_name, source_tensor)
                if name in self._expected:
                    self._accept(file, source_name, name, tensor)
                elif source_name not in all_names:  # else it belongs to the front end
                    reason = self._reason(source_name)
                    self._left_out.append(f"{_format(source_name, source_tensor)}: {reason}")
        parameters = {name for name, _ in self._network.named_parameters()}
        if not parameters & set(self._loaded):
            raise ConfigError(self._describe_mismatch(files))
        self._network.load_state_dict({**self._network.state_dict(), **self._loaded})
        statistics = {name for name in self._expected if "running_" in name.rpartition(".")[2]}
        uninitialised = [
            name
            for name in self._expected
            if name in parameters | statistics and name not in self._loaded
        ]
        if uninitialised and self._name_map:
            self._notes.append(self._name_map.hint)
        return MatchReport(
            loaded=len(self._loaded),
            total=len(self._expected),
            left_out=tuple(self._left_out),
            uninitialised=tuple(uninitialised),
            notes=tuple(self._notes),
        )

    def _translate(self, source_name: str, tensor: Tensor) -> tuple[str, Tensor]:
        """Return a tensor's name and axes in the network; the name is empty if it has none."""
        if source_name in self._expected:
            return source_name, tensor
        module, _, leaf = source_name.rpartition(".")
        if self._name_map is None or module not in self._modules:
            return "", tensor
        name = f"{self._modules[module]}.{leaf}"
        tensor = self._name_map.transform(tensor)
        if name in self._class_layers and name in self._expected:
            tensor = self._order_classes(name, tensor, self._name_map)
        return name, tensor

    def _accept(self, file: WeightFile, source_name: str, name: str, tensor: Tensor) -> None:
        """Use a tensor if its shape matches."""
        expected = self._expected[name]
        if tensor.shape != expected.shape:
            reason = f"{_format(source_name, tensor)}: {name} needs {tuple(expected.shape)}"
            if name in self._class_layers:
                reason += ", another number of classes"
            self._left_out.append(reason)
            return
        if name in self._loaded_from:
            msg = f"{name}: both {self._loaded_from[name].path} and {file.path} have it"
            raise ConfigError(f"{msg}; name the network of each: --init-from NETWORK=FILE")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ConfigError(f"{file.path}: {source_name} holds values that are not finite")
        if name in self._class_layers and not self._matched_by_class_name:
            classes = ", ".join(self._class_names()) or f"{len(expected)} classes"
            self._notes.append(f"{name}: the assumed order of its classes is: {classes}")
        self._loaded_from[name] = file
        self._loaded[name] = tensor.to(expected.dtype).contiguous()

    def _class_names(self) -> Sequence[str]:
        return self._network.class_names if isinstance(self._network, HasClassNames) else ()

    def _order_classes(self, name: str, tensor: Tensor, name_map: WeightNameMap) -> Tensor:
        """Return the rows of the network's classes in its order, as far as names are known."""
        names, expected = self._class_names(), self._expected[name]
        if not names or len(expected) % len(names):
            return tensor
        centres = len(expected) // len(names)
        if len(tensor) % centres:
            return tensor
        # The file has the centres of a class in consecutive rows.
        by_class = tensor.reshape(-1, centres, *tensor.shape[1:])
        known = name_map.class_names.get(len(by_class), ())
        if set(names) <= set(known):
            by_class = by_class[[known.index(class_name) for class_name in names]]
            if not self._matched_by_class_name:
                found = f"{len(names)} of the {len(known)} of {name_map.source}"
                self._notes.append(f"classes by name: {found}")
                self._notes += _describe_unused_classes(len(known) - len(names))
            self._matched_by_class_name = True
        rows: Tensor = by_class.transpose(0, 1).flatten(0, 1)
        return rows

    def _reason(self, source_name: str) -> str:
        unused: Mapping[str, str] = self._name_map.unused if self._name_map else {}
        for prefix, reason in unused.items():
            if source_name.startswith(prefix):
                return reason
        return "the network has none of this name"

    def _describe_mismatch(self, files: Sequence[WeightFile]) -> str:
        """Return the error message if no tensor matches."""
        paths = ", ".join(str(file.path) for file in files)
        parameter = next(self._network.named_parameters(), None)
        if parameter is None:
            return f"{paths}: this model learns no weights, so it cannot be initialised"
        first = next(iter(files[0].tensors.items()))
        examples = "; ".join(self._left_out[:MAX_LISTED]) or _format(*first)
        expected = _format(*parameter)
        msg = f"{paths}: no tensor matches: expected such as {expected}, found {examples}"
        return f"{msg}; {self._name_map.hint}" if self._name_map else msg


def _describe_unused_classes(count: int) -> list[str]:
    if not count:
        return []
    return [
        f"{count} classes of the file are left out: probabilities are over the other classes only, "
        "so scores that use them differ from those of the published network"
    ]


def _format(name: str, tensor: Tensor) -> str:
    return f"{name} {tuple(tensor.shape)}"
