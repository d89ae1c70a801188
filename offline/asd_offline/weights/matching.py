"""Match a file's tensors with a network's, one by one, by name and shape."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from asd_monitor.errors import ConfigError
from asd_offline.weights.name_map import Original
from asd_offline.weights.reader import WeightsFile

FRONT_ENDS = "asd_offline.features.frontends"


@runtime_checkable
class HasClassNames(Protocol):
    """A network whose class layers have named rows."""

    class_names: Sequence[str]


@dataclass(frozen=True)
class Matched:
    """What a network took from files, in words where it did not."""

    taken: int
    """How many tensors."""
    of: int
    """How many the network has, those of its front end left out."""
    left_out: tuple[str, ...] = ()
    """Tensors of the files that fit nowhere, with shapes and reason."""
    random: tuple[str, ...] = ()
    """What of the network is still at its random start."""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)


class Matching:
    """One network, and how files may call its tensors.

    Parameters
    ----------
    network
        As it is before training.
    original
        How the authors call their tensors; None where nothing but own names can fit.
    """

    def __init__(self, network: nn.Module, original: Original | None) -> None:
        self._network = network
        self._original = original
        self._names = original.modules(network) if original else {}
        front_ends = tuple(
            f"{name}." for name, m in network.named_modules() if type(m).__module__ == FRONT_ENDS
        )
        self._wanted = {
            name: each
            for name, each in network.state_dict().items()
            if not name.startswith(front_ends)
        }
        self._taken: dict[str, Tensor] = {}
        self._from: dict[str, WeightsFile] = {}
        self._left_out: list[str] = []
        self._notes: list[str] = []
        self._by_name = False

    def take(self, files: Sequence[WeightsFile]) -> Matched:
        """Put into the network what fits.

        Raises
        ------
        ConfigError
            If nothing fits, two files have the same tensor, or values are not finite.
        """
        known = set(self._network.state_dict())
        for file in files:
            for name, tensor in file.tensors.items():
                own, changed = self._place(name, tensor)
                if own in self._wanted:
                    self._try(file, name, own, changed)
                elif name not in known:  # what belongs to the front end follows from the recipe
                    self._left_out.append(f"{_shown(name, tensor)}: {self._reason(name)}")
        learned = {name for name, _ in self._network.named_parameters()}
        if not learned & set(self._taken):
            raise ConfigError(self._nothing(files))
        whole = self._network.state_dict()
        self._network.load_state_dict({**whole, **self._taken})
        statistics = {name for name in self._wanted if "running_" in name.rpartition(".")[2]}
        still = [n for n in self._wanted if n in learned | statistics and n not in self._taken]
        if still and self._original:
            self._notes.append(self._original.hint)
        return Matched(
            taken=len(self._taken),
            of=len(self._wanted),
            left_out=tuple(self._left_out),
            random=tuple(still),
            notes=tuple(self._notes),
        )

    def _place(self, name: str, tensor: Tensor) -> tuple[str, Tensor]:
        if name in self._wanted:
            return name, tensor
        module, _, leaf = name.rpartition(".")
        if self._original is None or module not in self._names:
            return "", tensor
        own = f"{self._names[module]}.{leaf}"
        tensor = self._original.change(tensor)
        if own in self._original.class_layers and own in self._wanted:
            tensor = self._classes(own, tensor)
        return own, tensor

    def _try(self, file: WeightsFile, name: str, own: str, tensor: Tensor) -> None:
        wanted = self._wanted[own]
        if tensor.shape != wanted.shape:
            said = f"{_shown(name, tensor)}: {own} wants {tuple(wanted.shape)}"
            if self._original and own in self._original.class_layers:
                said += ", another number of classes"
            self._left_out.append(said)
            return
        if own in self._from:
            msg = f"{own}: both {self._from[own].path} and {file.path} have it"
            raise ConfigError(f"{msg}; say for which network each is: --init-from NETWORK=FILE")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ConfigError(f"{file.path}: {name} holds values that are not finite")
        if self._original and own in self._original.class_layers and not self._by_name:
            classes = ", ".join(self._class_names()) or f"{len(wanted)} classes"
            self._notes.append(f"{own}: taken as if its classes were, in this order: {classes}")
        self._from[own] = file
        self._taken[own] = tensor.to(wanted.dtype).contiguous()

    def _class_names(self) -> Sequence[str]:
        return self._network.class_names if isinstance(self._network, HasClassNames) else ()

    def _classes(self, own: str, tensor: Tensor) -> Tensor:
        """Return the rows of the own classes in their order, as far as they can be told."""
        names, wanted = self._class_names(), self._wanted[own]
        if self._original is None or not names or len(wanted) % len(names):
            return tensor
        centres = len(wanted) // len(names)
        if len(tensor) % centres:
            return tensor
        # There, the centres of a class lie together.
        by_class = tensor.reshape(-1, centres, *tensor.shape[1:])
        known = self._original.classes.get(len(by_class), ())
        if set(names) <= set(known):
            by_class = by_class[[known.index(name) for name in names]]
            if not self._by_name:
                source = self._original.source
                self._notes.append(f"classes by name: {len(names)} of the {len(known)} of {source}")
            self._by_name = True
        rows: Tensor = by_class.transpose(0, 1).flatten(0, 1)
        return rows

    def _reason(self, name: str) -> str:
        unused: Mapping[str, str] = self._original.unused if self._original else {}
        why = next((why for prefix, why in unused.items() if name.startswith(prefix)), "")
        return why or "the network has none of this name"

    def _nothing(self, files: Sequence[WeightsFile]) -> str:
        first = next(iter(files[0].tensors.items()))
        learned = next(self._network.named_parameters(), None)
        where = ", ".join(str(file.path) for file in files)
        if learned is None:
            return f"{where}: this model learns no weights, so there is nothing to start from"
        there = "; ".join(self._left_out[:4]) or _shown(*first)
        msg = f"{where}: nothing in it fits: expected such as {_shown(*learned)}, found {there}"
        return f"{msg}; {self._original.hint}" if self._original else msg


def _shown(name: str, tensor: Tensor) -> str:
    return f"{name} {tuple(tensor.shape)}"
