"""MobileNetV2: published size, images of any size, and masks."""

import pytest
import torch
from torch import Tensor, nn

from asd_offline.models.mobilenetv2.network import MobileNetV2, SectionClassifier
from asd_offline.models.mobilenetv2.recipe import MobileNetV2Recipe
from tests.offline.network_checks import noise, parameter_count, weights_without_gradient


def test_the_network_has_the_number_of_parameters_that_keras_reports() -> None:
    network = MobileNetV2(classes=3, alpha=0.5)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    # Keras counts the running means and variances as well.
    statistics = sum(2 * norm.num_features for norm in norms)
    assert parameter_count(network) + statistics == 710_067


@pytest.mark.parametrize("size", [(64, 128), (33, 47)])
def test_images_may_have_any_size(size: tuple[int, int]) -> None:
    logits = MobileNetV2(4).eval()(noise(2, 3, *size))
    assert logits.shape == (2, 4)
    assert bool(torch.isfinite(logits).all())


def test_the_gradient_reaches_every_weight() -> None:
    network = SectionClassifier(MobileNetV2Recipe(), ["a", "b"], torch.zeros(128))
    network(noise(4, 64, 128), torch.tensor([0, 1, 1, 0])).backward()
    assert weights_without_gradient(network) == []


def test_images_are_masked_in_training_only() -> None:
    recipe = MobileNetV2Recipe(segment_frames=32, n_mels=32, masked_share=0.5)
    mean_spectrum = torch.full((32,), -40.0)
    classifier = SectionClassifier(recipe, ["a", "b"], mean_spectrum)
    inputs: list[Tensor] = []
    classifier.network.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    images, label = noise(4, 32, 32), torch.tensor([0, 1, 0, 1])
    classifier.train()(images, label)
    classifier.eval()(images, label)
    masked, plain = (channels[:, 0] for channels in inputs)
    torch.testing.assert_close(plain, images)
    changed = (masked - images).abs() > 1e-3
    assert 0.05 < float(changed.float().mean()) < 0.8
    torch.testing.assert_close(masked[changed], torch.full_like(masked[changed], -40.0))
    assert SectionClassifier(MobileNetV2Recipe(), ["a", "b"], mean_spectrum).masking is None
