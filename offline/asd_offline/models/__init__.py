"""Models: from training clips to a module that the monitor runs.

A model is a module or package here, one line in :data:`MODELS`, and one recipe in
``configs/train/``. If it is trained, ``configs/train/small/`` has a recipe for a CPU, too.
"""

from typing import Any

from asd_offline.models.adacos.method import AdacosModel
from asd_offline.models.adacos.recipe import MultiresAdacosRecipe, SpectralAdacosRecipe
from asd_offline.models.aegan_ad.method import AeganAdModel
from asd_offline.models.anomaly_transformer.method import AnomalyTransformerModel
from asd_offline.models.autoencoder.method import (
    AutoencoderModel,
    fit_mahalanobis,
    use_mean_squared_error,
)
from asd_offline.models.autoencoder.recipe import AutoencoderMahalanobisRecipe, AutoencoderRecipe
from asd_offline.models.mobilenetv2.method import MobileNetV2Model
from asd_offline.models.modulation_knn import ModulationKnnModel
from asd_offline.models.pretrained.method import PretrainedModel
from asd_offline.models.protocol import Model
from asd_offline.models.stgram_mfn.method import StgramMfnModel
from asd_offline.models.twfr_gmm import TwfrGmmModel

# Each model checks its recipe and networks against its own type parameters.
MODELS: dict[str, Model[Any, Any]] = {
    "autoencoder": AutoencoderModel(AutoencoderRecipe, use_mean_squared_error),
    "autoencoder_mahalanobis": AutoencoderModel(AutoencoderMahalanobisRecipe, fit_mahalanobis),
    "twfr_gmm": TwfrGmmModel(),
    "aegan_ad": AeganAdModel(),
    "anomaly_transformer": AnomalyTransformerModel(),
    "mobilenetv2": MobileNetV2Model(),
    "stgram_mfn": StgramMfnModel(),
    "spectral_adacos": AdacosModel(SpectralAdacosRecipe),
    "modulation_knn": ModulationKnnModel(),
    "multires_adacos": AdacosModel(MultiresAdacosRecipe),
    "pretrained": PretrainedModel(),
}
