"""Tensor names of published weight files, mapped to the networks of this package.

Names, shapes and axes are facts about published files, recorded here as data; none of the authors'
code is used. Keras files (MobileNetV2, and the autoencoder of 2020 to 2022) are HDF5 and not read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn


@dataclass(frozen=True)
class WeightNameMap:
    """How a published implementation's tensors are named here."""

    source: str
    """Repository of the authors."""
    modules: Callable[[nn.Module], Mapping[str, str]]
    """Returns the modules in the file, with their names in the given network."""
    hint: str
    """Which settings to check if tensors do not match."""
    transform: Callable[[Tensor], Tensor] = lambda tensor: tensor
    """Applied to every tensor, if axes are in another order there."""
    unused: Mapping[str, str] = field(default_factory=dict)
    """Prefixes of names in the file that are left out, with the reason."""
    class_layers: tuple[str, ...] = ()
    """Tensors of the network whose rows are classes."""
    class_names: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Published names of the rows, by their number."""
    unneeded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Prefixes of scores, with parts of the names of tensors that these scores do not use."""
