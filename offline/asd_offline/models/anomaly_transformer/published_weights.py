"""Anomaly Transformer by its authors: weights for series of sensors, not for sound.

Where a series of theirs has another number of channels than there are mel bands, the first and
the last layer do not fit, and the attention between them does.
"""

from torch import nn

from asd_offline.weights.name_map import WeightNameMap

_ATTENTION = {"query": "query", "key": "key", "value": "value", "sigma": "width", "out": "out"}


def _modules(network: nn.Module) -> dict[str, str]:
    layers = len(network.get_submodule("associations.layers"))  # type: ignore[arg-type]
    names = {
        "embedding.value_embedding.tokenConv": "associations.embedding",
        "encoder.norm": "associations.norm",
        "projection": "associations.projection",
    }
    for i in range(layers):
        theirs, own = f"encoder.attn_layers.{i}", f"associations.layers.{i}"
        for name, ours in _ATTENTION.items():
            names[f"{theirs}.attention.{name}_projection"] = f"{own}.attention.{ours}"
        names |= {
            f"{theirs}.conv1": f"{own}.widen",
            f"{theirs}.conv2": f"{own}.narrow",
            f"{theirs}.norm1": f"{own}.norm1",
            f"{theirs}.norm2": f"{own}.norm2",
        }
    return names


ANOMALY_TRANSFORMER = WeightNameMap(
    source="thuml/Anomaly-Transformer",
    modules=_modules,
    hint="a series has as many channels as there are mel bands here (n_mels); also dims and layers",
    unused={
        "embedding.position_embedding.pe": "computed, not learned",
        **{f"encoder.attn_layers.{i}.attention.norm.": "in no use there" for i in range(12)},
    },
)
