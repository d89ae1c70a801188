"""Name maps of the published weights, by model."""

from asd_offline.models.adacos.published_weights import ADACOS
from asd_offline.models.aegan_ad.published_weights import AEGAN_AD
from asd_offline.models.anomaly_transformer.published_weights import ANOMALY_TRANSFORMER
from asd_offline.models.autoencoder.published_weights import AENET
from asd_offline.models.mobilenetv2.published_weights import MOBILENETV2
from asd_offline.models.stgram_mfn.published_weights import STGRAM_MFN
from asd_offline.weights.name_map import WeightNameMap

PUBLISHED_WEIGHTS: dict[str, WeightNameMap] = {
    "stgram_mfn": STGRAM_MFN,
    "aegan_ad": AEGAN_AD,
    "anomaly_transformer": ANOMALY_TRANSFORMER,
    "autoencoder": AENET,
    "autoencoder_mahalanobis": AENET,
    "mobilenetv2": MOBILENETV2,
    "spectral_adacos": ADACOS,
    "multires_adacos": ADACOS,
}
