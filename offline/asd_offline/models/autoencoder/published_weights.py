"""The authors' weights of the autoencoder of DCASE 2023 (and 2024 to 2026), ``AENet``.

Those of 2020 to 2022 are Keras files and not read.
"""

from torch import nn

from asd_offline.weights.name_map import WeightNameMap

ENCODER_LAYERS = 15
"""Five times a linear layer, normalisation and activation."""
DECODER_LAYERS = 13
_FITTED = "covariances are fitted on the training clips by export"


def _modules(network: nn.Module) -> dict[str, str]:
    del network
    encoder = {f"encoder.{i}": f"autoencoder.layers.{i}" for i in range(ENCODER_LAYERS)}
    decoder = {
        f"decoder.{i}": f"autoencoder.layers.{ENCODER_LAYERS + i}" for i in range(DECODER_LAYERS)
    }
    return encoder | decoder


AENET = WeightNameMap(
    source="nttcslab/dcase2023_task2_baseline_ae",
    modules=_modules,
    hint="n_mels times frames is the length of the file's input (128 * 5 = 640)",
    unused={"cov_source": _FITTED, "cov_target": _FITTED},
)
