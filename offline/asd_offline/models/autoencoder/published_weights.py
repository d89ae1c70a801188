"""The autoencoder of DCASE 2023 (and of 2024 to 2026): ``AENet``.

That of 2020 to 2022 is Keras and not read.
"""

from torch import nn

from asd_offline.weights.name_map import Original

ENCODER = 15
"""Five times a linear layer, normalisation and activation."""
DECODER = 13
_FITTED = "covariances are fitted on the training clips by export"


def _modules(network: nn.Module) -> dict[str, str]:
    del network
    names = {f"encoder.{i}": f"autoencoder.layers.{i}" for i in range(ENCODER)}
    return names | {f"decoder.{i}": f"autoencoder.layers.{ENCODER + i}" for i in range(DECODER)}


AENET = Original(
    source="nttcslab/dcase2023_task2_baseline_ae",
    modules=_modules,
    hint="n_mels times frames is the input's length there (128 * 5 = 640)",
    unused={"cov_source": _FITTED, "cov_target": _FITTED},
)
