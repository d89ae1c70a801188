"""The authors' weights of AEGAN-AD: ``netG`` and ``netD`` in one file for each machine.

Their segments are (bands, frames), ours (frames, bands), so kernels and the maps of layer
normalisation have their last two axes swapped.
"""

from torch import Tensor, nn

from asd_offline.weights.name_map import WeightNameMap

CONVOLUTIONS = 5


def _swap_axes(tensor: Tensor) -> Tensor:
    return tensor.transpose(-1, -2) if tensor.ndim >= 3 else tensor


def _modules(network: nn.Module) -> dict[str, str]:
    encoder = len(network.get_submodule("generator.encoder.0"))  # type: ignore[arg-type]
    decoder = len(network.get_submodule("generator.decoder"))  # type: ignore[arg-type]
    names = {f"Encoder.main.{i}": f"generator.encoder.0.{i}" for i in range(encoder)}
    names[f"Encoder.main.{encoder}"] = "generator.encoder.1"
    names |= {f"Decoder.main.{i}": f"generator.decoder.{i}" for i in range(decoder)}
    for i in range(CONVOLUTIONS):
        names[f"main.{i}.0"] = f"discriminator.layers.0.{3 * i}"
        names[f"main.{i}.1"] = f"discriminator.layers.0.{3 * i + 1}"
    return names | {
        "feat_extract_layer.0": "discriminator.layers.1",
        "output_layer.0": "discriminator.critic.0",
        "output_layer.2": "discriminator.critic.2",
    }


AEGAN_AD = WeightNameMap(
    source="jianganbai/AEGAN-AD",
    modules=_modules,
    hint=(
        "generator_norm and first_norm differ by machine: take the recipe of the file's machine "
        "from configs/train/aegan_ad"
    ),
    transform=_swap_axes,
    unneeded={"g_": ("discriminator.",), "d_": ("generator.",)},
)
