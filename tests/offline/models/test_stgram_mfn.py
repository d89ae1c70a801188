"""STgram-MFN: published sizes, the margin losses, and the scores."""

import math

import pytest
import torch
from torch.nn import functional as F

from asd_monitor.backends.gmm import fit_gmm
from asd_offline.models.stgram_mfn.arcface import ArcFace, noisy_arcmix
from asd_offline.models.stgram_mfn.detector import negative_log_probability
from asd_offline.models.stgram_mfn.mobilefacenet import MobileFaceNet
from asd_offline.models.stgram_mfn.network import StgramMfn, Tgram
from asd_offline.models.stgram_mfn.recipe import StgramMfnRecipe
from tests.offline.network_checks import noise, parameter_count, weights_without_gradient


@pytest.mark.parametrize(
    ("classes", "face", "arcface", "total"),
    [(23, 873_303, 2_944, 1_156_653), (41, 875_625, 5_248, 1_161_279)],
)
def test_the_network_has_the_published_number_of_parameters_at_10_s(
    classes: int, face: int, arcface: int, total: int
) -> None:
    tgram = Tgram(128, 1024, 512, 313)
    network, head = MobileFaceNet(128, 313, classes=classes), ArcFace(128, classes)
    counts = tuple(map(parameter_count, (tgram, network, head)))
    assert counts == (280_406, face, arcface)
    assert sum(counts) == total
    # Ours omits the original's linear classifier, which the margin loss never trains.
    ours = StgramMfn(StgramMfnRecipe(window_s=10.0), [str(i) for i in range(classes)])
    assert parameter_count(ours) == total - (128 + 1) * classes


@pytest.mark.parametrize("window_s", [1.0, 2.3, 4.0])
def test_the_sizes_follow_from_the_window(window_s: float) -> None:
    recipe = StgramMfnRecipe(window_s=window_s)
    network = StgramMfn(recipe, ["a", "b"]).eval()
    waveform = noise(2, recipe.window_samples)
    sgram, tgram = network.sgram(waveform), network.tgram(waveform)
    assert sgram.shape == tgram.shape
    assert network.embed(sgram, tgram).shape == (2, 128)


@pytest.mark.parametrize("loss", ["arcface", "noisy_arcmix", "cross_entropy"])
def test_the_gradient_reaches_every_weight(loss: str) -> None:
    recipe = StgramMfnRecipe.model_validate({"window_s": 1.0, "n_mels": 32, "loss": loss})
    network = StgramMfn(recipe, ["a", "b", "c"])
    mixing = (torch.tensor([1, 2, 0]), torch.tensor(0.7)) if loss == "noisy_arcmix" else ()
    network(noise(3, 16_000), torch.tensor([0, 1, 2]), *mixing).backward()
    assert weights_without_gradient(network) == []


def test_the_margin_lowers_only_the_logit_of_the_true_class() -> None:
    head = ArcFace(8, 3, margin=0.7, scale=30.0)
    embedding, label = noise(5, 8), torch.tensor([0, 1, 2, 0, 1])
    plain, with_margin = head(embedding), head.with_margin(embedding, label)
    is_label = F.one_hot(label, 3).bool()
    assert torch.equal(plain[~is_label], with_margin[~is_label])
    assert bool((with_margin[is_label] < plain[is_label]).all())
    angle = (plain[is_label] / 30.0).acos()
    within_range = angle < math.pi - 0.7
    expected = 30.0 * (angle + 0.7).cos()
    torch.testing.assert_close(
        with_margin[is_label][within_range], expected[within_range], rtol=1e-3, atol=1e-3
    )


def test_an_embedding_equal_to_its_centre_has_a_finite_gradient() -> None:
    head = ArcFace(4, 2)
    embedding = head.weight.detach()[:1].clone().requires_grad_()
    head.with_margin(embedding, torch.tensor([0])).sum().backward()  # type: ignore[no-untyped-call]
    assert embedding.grad is not None
    assert bool(torch.isfinite(embedding.grad).all())


def test_the_nearest_of_several_centres_counts() -> None:
    head = ArcFace(4, 2, sub_centres=3)
    for centre in head.weight.detach():
        assert float(head.cosines(centre[None]).detach().max()) == pytest.approx(1.0, abs=1e-6)


def test_noisy_arcmix_of_unmixed_sound_equals_cross_entropy() -> None:
    logits, label, partner = noise(4, 3), torch.tensor([0, 1, 2, 0]), torch.tensor([1, 1, 0, 2])
    loss = noisy_arcmix(logits, label, partner, torch.tensor(1.0))
    torch.testing.assert_close(loss, F.cross_entropy(logits, label))


def test_probabilities_close_to_one_keep_their_order() -> None:
    logits = torch.tensor([[20.0, 1.0, 0.0], [28.0, -3.0, 0.0], [30.0, -30.0, -30.0]])
    label = torch.zeros(3, dtype=torch.int64)
    scores = negative_log_probability(logits, label)
    assert bool((scores[:-1] > scores[1:]).all())
    expected = F.cross_entropy(logits.double(), label, reduction="none")
    torch.testing.assert_close(scores[:2].double(), expected[:2], rtol=1e-3, atol=0.0)


def test_the_score_is_the_cross_entropy() -> None:
    logits, label = noise(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    expected = F.cross_entropy(logits, label, reduction="none")
    torch.testing.assert_close(negative_log_probability(logits, label), expected)


def test_a_mixture_of_one_component_equals_the_gaussian_density() -> None:
    vectors = noise(200, 3) @ torch.tensor([[1.0, 0.2, 0], [0, 2.0, 0.5], [0, 0, 0.7]])
    covariance = torch.cov(vectors.t().double(), correction=0) + 1e-3 * torch.eye(3)
    density = torch.distributions.MultivariateNormal(vectors.double().mean(0), covariance)
    expected = -density.log_prob(vectors[:5].double())  # type: ignore[no-untyped-call]
    backend = fit_gmm(vectors, shrink=False, min_variance=1e-3, best_component=True)
    scores = backend(vectors[:5])
    torch.testing.assert_close(scores.double(), expected, rtol=1e-3, atol=1e-3)
