"""The authors' weights of the Anomaly Transformer, trained on sensor data, not on sound.

Where their series has another number of channels than there are mel bands, the first and the last
layer do not fit; the attention layers do.
"""

from torch import nn

from asd_offline.weights.name_map import WeightNameMap

_PROJECTIONS = {"query": "query", "key": "key", "value": "value", "sigma": "width", "out": "out"}


def _modules(network: nn.Module) -> dict[str, str]:
    layers = len(network.get_submodule("associations.layers"))  # type: ignore[arg-type]
    names = {
        "embedding.value_embedding.tokenConv": "associations.embedding",
        "encoder.norm": "associations.norm",
        "projection": "associations.projection",
    }
    for i in range(layers):
        theirs, ours = f"encoder.attn_layers.{i}", f"associations.layers.{i}"
        for their_name, our_name in _PROJECTIONS.items():
            names[f"{theirs}.attention.{their_name}_projection"] = f"{ours}.attention.{our_name}"
        names |= {
            f"{theirs}.conv1": f"{ours}.widen",
            f"{theirs}.conv2": f"{ours}.narrow",
            f"{theirs}.norm1": f"{ours}.norm1",
            f"{theirs}.norm2": f"{ours}.norm2",
        }
    return names


ANOMALY_TRANSFORMER = WeightNameMap(
    source="thuml/Anomaly-Transformer",
    modules=_modules,
    hint="a series has as many channels as there are mel bands here (n_mels); also dims and layers",
    unused={
        "embedding.position_embedding.pe": "computed, not learned",
        **{f"encoder.attn_layers.{i}.attention.norm.": "not used there" for i in range(12)},
    },
)
