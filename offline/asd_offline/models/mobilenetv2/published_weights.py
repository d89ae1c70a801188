"""MobileNetV2 as in torchvision, which PyTorch versions of the baseline use.

The baseline's own file is Keras and cannot be read. Torchvision pads symmetrically and normalises
with another epsilon, so such weights are a starting point and not the same network.
"""

from torch import nn

from asd_offline.models.mobilenetv2.network import STAGES
from asd_offline.weights.name_map import WeightNameMap

BLOCKS = sum(blocks for _, _, blocks, _ in STAGES)


def _modules(network: nn.Module) -> dict[str, str]:
    del network
    names = {"classifier.1": "network.classifier"}
    for layer in (0, BLOCKS + 1):
        names[f"features.{layer}.0"] = f"network.layers.{layer}.conv"
        names[f"features.{layer}.1"] = f"network.layers.{layer}.norm"
    for block in range(1, BLOCKS + 1):
        last = 1 if block == 1 else 2  # the first block does not expand
        theirs, ours = f"features.{block}.conv", f"network.layers.{block}.layers"
        for part in range(last):
            names[f"{theirs}.{part}.0"] = f"{ours}.{part}.conv"
            names[f"{theirs}.{part}.1"] = f"{ours}.{part}.norm"
        names[f"{theirs}.{last}"] = f"{ours}.{last}.conv"
        names[f"{theirs}.{last + 1}"] = f"{ours}.{last}.norm"
    return names


MOBILENETV2 = WeightNameMap(
    source="torchvision",
    modules=_modules,
    hint="alpha is the width (width_mult) of the file's network",
    class_layers=("network.classifier.weight", "network.classifier.bias"),
)
