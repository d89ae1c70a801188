"""MobileNetV2 as torchvision names it, which re-runs of the baseline in PyTorch use.

The baseline's own file is Keras and not read. Torchvision pads evenly and normalises with another
epsilon, so such weights are a start and not the same network.
"""

from torch import nn

from asd_offline.models.mobilenetv2.network import STAGES
from asd_offline.weights.name_map import WeightNameMap

BLOCKS = sum(blocks for _, _, blocks, _ in STAGES)


def _modules(network: nn.Module) -> dict[str, str]:
    del network
    names = {"classifier.1": "network.classifier"}
    for place in (0, BLOCKS + 1):
        names[f"features.{place}.0"] = f"network.layers.{place}.conv"
        names[f"features.{place}.1"] = f"network.layers.{place}.norm"
    for block in range(1, BLOCKS + 1):
        last = 1 if block == 1 else 2  # the first block does not widen
        theirs, own = f"features.{block}.conv", f"network.layers.{block}.layers"
        for part in range(last):
            names[f"{theirs}.{part}.0"] = f"{own}.{part}.conv"
            names[f"{theirs}.{part}.1"] = f"{own}.{part}.norm"
        names[f"{theirs}.{last}"] = f"{own}.{last}.conv"
        names[f"{theirs}.{last + 1}"] = f"{own}.{last}.norm"
    return names


MOBILENETV2 = WeightNameMap(
    source="torchvision",
    modules=_modules,
    hint="alpha is the width (width_mult) of the file's network",
    class_layers=("network.classifier.weight", "network.classifier.bias"),
)
