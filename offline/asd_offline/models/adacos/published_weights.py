"""Weights of the AdaCos models: their authors' files are Keras, so only runs of ours fit."""

from torch import nn

from asd_offline.weights.name_map import WeightNameMap


def _modules(network: nn.Module) -> dict[str, str]:
    del network
    return {}


ADACOS = WeightNameMap(
    source="",
    modules=_modules,
    hint="weights fit one length of window (window_s) and one number of classes",
    unneeded={"": (".loss.",)},
)
