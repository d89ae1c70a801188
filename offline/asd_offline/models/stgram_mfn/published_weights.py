"""The authors' weights of STgram-MFN: ``STgramMFN`` and, before 2022, ``MelMobileFacenet``."""

from collections.abc import Iterator, Mapping

from torch import nn

from asd_offline.weights.name_map import WeightNameMap

# The order of classes follows from the order of folders in the authors' settings: all machines of
# the development set, then all of the additional training set, each with its ids in order.
_DEVELOPMENT = {
    "fan": (0, 2, 4, 6),
    "pump": (0, 2, 4, 6),
    "slider": (0, 2, 4, 6),
    "ToyCar": (1, 2, 3, 4),
    "ToyConveyor": (1, 2, 3),
    "valve": (0, 2, 4, 6),
}
_ADDITIONAL = {
    "fan": (1, 3, 5),
    "pump": (1, 3, 5),
    "slider": (1, 3, 5),
    "ToyCar": (5, 6, 7),
    "ToyConveyor": (4, 5, 6),
    "valve": (1, 3, 5),
}


def _classes(ids: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    return tuple(f"{machine}/id_{number:02d}" for machine in ids for number in ids[machine])


def _modules(network: nn.Module) -> dict[str, str]:
    blocks = len(network.get_submodule("network.layers")) - 5  # type: ignore[arg-type]
    names = {"tgramnet.conv_extrctor": "tgram.extractor"}
    for layer in range(3):
        names[f"tgramnet.conv_encoder.{layer}.0"] = f"tgram.layers.{3 * layer}"
        names[f"tgramnet.conv_encoder.{layer}.2"] = f"tgram.layers.{3 * layer + 2}"
    for prefix in ("mobilefacenet.", ""):
        names |= {prefix + theirs: ours for theirs, ours in _mobilefacenet_modules(blocks)}
    return names | {"arcface": "head", "": "head"}


def _mobilefacenet_modules(blocks: int) -> Iterator[tuple[str, str]]:
    layer_index = {
        "conv1": 0,
        "dw_conv1": 1,
        "conv2": 2 + blocks,
        "linear7": 3 + blocks,
        "linear1": 4 + blocks,
    }
    for name, layer in layer_index.items():
        yield f"{name}.conv", f"network.layers.{layer}.conv"
        yield f"{name}.bn", f"network.layers.{layer}.norm"
        yield f"{name}.prelu", f"network.layers.{layer}.activation"
    for block in range(blocks):
        for part in range(3):
            # The last convolution of a block is linear: it has no activation.
            modules = ("conv", "norm") if part == 2 else ("conv", "norm", "activation")
            for offset, module in enumerate(modules):
                theirs = f"blocks.{block}.conv.{3 * part + offset}"
                yield theirs, f"network.layers.{2 + block}.layers.{part}.{module}"
    yield "fc_out", "network.classifier"


STGRAM_MFN = WeightNameMap(
    source="liuyoude/STgram-MFN",
    modules=_modules,
    hint=(
        "the authors' file is for windows of 10 s (window_s: 10.0) and, depending on its age, for "
        "depth: shallow or depth: deep"
    ),
    unused={
        "mobilefacenet.fc_out.": "not part of the score where the margin is used",
        "fc_out.": "not part of the score where the margin is used",
    },
    class_layers=("head.weight", "network.classifier.weight", "network.classifier.bias"),
    class_names={23: _classes(_DEVELOPMENT), 41: _classes(_DEVELOPMENT) + _classes(_ADDITIONAL)},
    unneeded={
        "gmm": ("head.", "network.classifier."),
        "neighbours": ("head.", "network.classifier."),
    },
)
