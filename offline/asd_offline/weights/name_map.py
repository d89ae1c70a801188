"""How the tensors of the authors' own files are called here, so that their weights can be used.

Names, shapes and axes are facts about published files, written down here as data; none of the
authors' code is used. Keras files (the MobileNetV2 and the autoencoder of 2020 to 2022) are HDF5
and not read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn


def unchanged(tensor: Tensor) -> Tensor:
    """Return the tensor."""
    return tensor


@dataclass(frozen=True)
class Original:
    """One published implementation's files."""

    source: str
    """Whose."""
    modules: Callable[[nn.Module], Mapping[str, str]]
    """Modules of the file and what they are called in the network that is trained here."""
    hint: str
    """What to look at where tensors do not fit."""
    change: Callable[[Tensor], Tensor] = unchanged
    """What has to be done to every tensor, where axes are in another order there."""
    unused: Mapping[str, str] = field(default_factory=dict)
    """How names begin in the file that are left out, and why."""
    class_layers: tuple[str, ...] = ()
    """Tensors here whose rows are classes."""
    classes: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Which classes the rows are, by how many there are, where that is published."""
    unneeded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """How scores begin, and parts of names here of what they do without."""
