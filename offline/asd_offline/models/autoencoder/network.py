"""The dense autoencoder of the DCASE baselines, and its training loss."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_linear_bn_eval

from asd_offline.models.autoencoder.recipe import AutoencoderRecipe


class CentredLinear(nn.Linear):
    """A linear layer that, under autocast, rounds deviations from the batch's mean only.

    Mel levels are about -40 dB. Rounded to bfloat16, which has 8 significant bits, they lose much
    of their differences. So the product of the mean vector is computed in float32.
    """

    def forward(self, vectors: Tensor) -> Tensor:
        """Return ``(vectors, out_features)``."""
        mean = vectors.mean(0)
        with torch.autocast(vectors.device.type, enabled=False):
            constant = F.linear(mean, self.weight, self.bias)
        return F.linear(vectors - mean, self.weight) + constant


class DenseAutoencoder(nn.Module):
    """Nine hidden layers with batch normalisation, the fifth a bottleneck; 640 values in and out.

    With the published recipe, 267,928 parameters.
    """

    def __init__(self, recipe: AutoencoderRecipe) -> None:
        super().__init__()
        self.dims = recipe.n_mels * recipe.frames
        hidden = [recipe.hidden] * 4
        layers: list[nn.Module] = []
        inputs = self.dims
        for outputs in (*hidden, recipe.bottleneck, *hidden):
            linear = nn.Linear if layers else CentredLinear
            layers += [
                linear(inputs, outputs),
                nn.BatchNorm1d(outputs, recipe.batch_norm_eps, recipe.batch_norm_momentum),
                nn.ReLU(inplace=True),
            ]
            inputs = outputs
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, self.dims))
        for layer in self.layers:
            if isinstance(layer, nn.Linear) and recipe.weight_init == "keras":
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the reconstruction ``(vectors, dims)``."""
        reconstruction: Tensor = self.layers(vectors)
        return reconstruction

    def folded(self) -> nn.Sequential:
        """Return an equal network for scoring, batch normalisation folded into linear layers."""
        layers = list(self.layers.eval())
        folded: list[nn.Module] = []
        for layer, following in zip(layers, [*layers[1:], None], strict=True):
            if isinstance(layer, nn.Linear) and isinstance(following, nn.BatchNorm1d):
                folded.append(_plain_linear(fuse_linear_bn_eval(layer, following)))
            elif not isinstance(layer, nn.BatchNorm1d):
                folded.append(layer)
        return nn.Sequential(*folded)


def _plain_linear(layer: nn.Linear) -> nn.Linear:
    """Return the layer without centring, which scoring in float32 does not need."""
    plain = nn.Linear(layer.in_features, layer.out_features, device="meta")
    plain.weight, plain.bias = layer.weight, layer.bias
    return plain


class ReconstructionLoss(nn.Module):
    """The autoencoder with its training loss, the mean squared error."""

    def __init__(self, recipe: AutoencoderRecipe) -> None:
        super().__init__()
        self.autoencoder = DenseAutoencoder(recipe)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the loss of ``(vectors, dims)``."""
        reconstruction: Tensor = self.autoencoder(vectors)
        return F.mse_loss(reconstruction, vectors)
