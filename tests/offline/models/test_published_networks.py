"""The published networks: as many parameters as the originals, and what their parts promise."""

import math

import pytest
import torch
from torch import Tensor, nn

from asd_monitor.backends.lof import fit_lof
from asd_monitor.errors import ConfigError
from asd_offline.features.cache import ClipRows
from asd_offline.features.segments import (
    check_window,
    clip_segments,
    overlap_mean,
    segment_starts,
    starts_within,
)
from asd_offline.gaussian_mixture import fit_gaussian_mixture
from asd_offline.models.aegan_ad.network import AeganAd, Discriminator, Generator, gradient_penalty
from asd_offline.models.aegan_ad.recipe import AeganAdRecipe
from asd_offline.models.aegan_ad.scores import SCORES
from asd_offline.models.anomaly_transformer.attention import (
    AnomalyAttention,
    Associations,
    divergence,
    gaussian_prior,
)
from asd_offline.models.anomaly_transformer.method import (
    AnomalyTransformerRecipe,
    MinimaxLoss,
)
from asd_offline.models.mobilenetv2.method import MobileNetV2Recipe, SectionClassifier
from asd_offline.models.mobilenetv2.network import MobileNetV2, keras_parameters
from asd_offline.models.stgram_mfn.arcface import ArcFace, noisy_arcmix
from asd_offline.models.stgram_mfn.detector import negative_log_probability
from asd_offline.models.stgram_mfn.mobilefacenet import MobileFaceNet
from asd_offline.models.stgram_mfn.network import StgramMfn, Tgram
from asd_offline.models.stgram_mfn.recipe import StgramMfnRecipe


def count(network: nn.Module) -> int:
    return sum(each.numel() for each in network.parameters())


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def unreached(network: nn.Module) -> list[str]:
    """Return the weights that no gradient reached."""
    return [
        name
        for name, each in network.named_parameters()
        if each.grad is None or not bool(each.grad.abs().sum() > 0)
    ]


@pytest.mark.parametrize(
    ("classes", "face", "arcface", "total"),
    [(23, 873_303, 2_944, 1_156_653), (41, 875_625, 5_248, 1_161_279)],
)
def test_stgram_has_the_parameters_of_the_original_at_10_s(
    classes: int, face: int, arcface: int, total: int
) -> None:
    tgram = Tgram(128, 1024, 512, 313)
    network, head = MobileFaceNet(128, 313, classes=classes), ArcFace(128, classes)
    assert (count(tgram), count(network), count(head)) == (280_406, face, arcface)
    assert 280_406 + face + arcface == total
    # Ours leaves out the original's linear classifier, which the margin loss never trains.
    recipe = StgramMfnRecipe(window_s=10.0)
    ours = StgramMfn(recipe, [str(i) for i in range(classes)])
    assert count(ours) == total - (128 + 1) * classes


@pytest.mark.parametrize(
    ("generator", "parameters"),
    [
        (Generator(), 10_781_696),
        (Generator(norm="batch"), 9_769_856),
        (Generator(first_norm=False), 10_519_552),
        (Discriminator(), 3_303_425),
    ],
)
def test_aegan_has_the_parameters_of_the_original(generator: nn.Module, parameters: int) -> None:
    assert count(generator) == parameters


@pytest.mark.parametrize(("channels", "parameters"), [(38, 4_828_222), (128, 5_012_632)])
def test_anomaly_transformer_has_the_parameters_of_the_original(
    channels: int, parameters: int
) -> None:
    # The original also holds a layer norm per layer, of 2 * 512 values, that it never uses.
    assert count(Associations(channels)) + 3 * 2 * 512 == parameters


def test_mobilenetv2_has_the_parameters_that_keras_counts() -> None:
    assert keras_parameters(MobileNetV2(classes=3, alpha=0.5)) == 710_067


def test_the_sizes_of_stgram_follow_from_the_window() -> None:
    for window_s in (1.0, 2.3, 4.0):
        recipe = StgramMfnRecipe(window_s=window_s)
        network = StgramMfn(recipe, ["a", "b"]).eval()
        waveform = noise(2, recipe.window_samples)
        sgram, tgram = network.sgram(waveform), network.tgram(waveform)
        assert sgram.shape == tgram.shape
        assert network.embed(sgram, tgram).shape == (2, 128)


@pytest.mark.parametrize("loss", ["arcface", "noisy_arcmix", "cross_entropy"])
def test_gradient_reaches_every_weight_of_stgram(loss: str) -> None:
    recipe = StgramMfnRecipe.model_validate({"window_s": 1.0, "n_mels": 32, "loss": loss})
    network = StgramMfn(recipe, ["a", "b", "c"])
    mixing = (torch.tensor([1, 2, 0]), torch.tensor(0.7)) if loss == "noisy_arcmix" else ()
    network(noise(3, 16_000), torch.tensor([0, 1, 2]), *mixing).backward()
    assert unreached(network) == []


def test_the_margin_of_arcface_lowers_its_own_class_alone() -> None:
    head = ArcFace(8, 3, margin=0.7, scale=30.0)
    embedding, label = noise(5, 8), torch.tensor([0, 1, 2, 0, 1])
    plain, handicapped = head(embedding), head.with_margin(embedding, label)
    own = nn.functional.one_hot(label, 3).bool()
    assert torch.equal(plain[~own], handicapped[~own])
    assert bool((handicapped[own] < plain[own]).all())
    angle = (plain[own] / 30.0).acos()
    near = angle < math.pi - 0.7
    expected = 30.0 * (angle + 0.7).cos()
    torch.testing.assert_close(handicapped[own][near], expected[near], rtol=1e-3, atol=1e-3)


def test_a_probability_next_to_one_keeps_its_order() -> None:
    logits = torch.tensor([[20.0, 1.0, 0.0], [28.0, -3.0, 0.0], [30.0, -30.0, -30.0]])
    own = torch.zeros(3, dtype=torch.int64)
    found = negative_log_probability(logits, own)
    assert bool((found[:-1] > found[1:]).all())
    expected = nn.functional.cross_entropy(logits.double(), own, reduction="none")
    torch.testing.assert_close(found[:2].double(), expected[:2], rtol=1e-3, atol=0.0)
    doubtful = noise(6, 3)
    label = torch.tensor([0, 1, 2, 0, 1, 2])
    plain = nn.functional.cross_entropy(doubtful, label, reduction="none")
    torch.testing.assert_close(negative_log_probability(doubtful, label), plain)


def test_masks_of_mobilenetv2_are_for_training_alone() -> None:
    recipe = MobileNetV2Recipe(segment_frames=32, n_mels=32, masked_share=0.5)
    usual = torch.full((32,), -40.0)
    classifier = SectionClassifier(recipe, ["a", "b"], usual)
    seen: list[Tensor] = []
    classifier.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    images, label = noise(4, 32, 32), torch.tensor([0, 1, 0, 1])
    classifier.train()(images, label)
    classifier.eval()(images, label)
    masked, plain = (each[:, 0] for each in seen)
    torch.testing.assert_close(plain, images)
    altered = (masked - images).abs() > 1e-3
    assert 0.05 < float(altered.float().mean()) < 0.8
    torch.testing.assert_close(masked[altered], torch.full_like(masked[altered], -40.0))
    assert SectionClassifier(MobileNetV2Recipe(), ["a", "b"], usual).masking is None


def test_an_embedding_on_its_centre_has_a_finite_gradient() -> None:
    head = ArcFace(4, 2)
    embedding = head.weight.detach()[:1].clone().requires_grad_()
    head.with_margin(embedding, torch.tensor([0])).sum().backward()  # type: ignore[no-untyped-call]
    assert embedding.grad is not None
    assert bool(torch.isfinite(embedding.grad).all())


def test_of_several_centres_the_nearest_counts() -> None:
    head = ArcFace(4, 2, sub_centres=3)
    for centre in head.weight.detach():
        assert float(head.cosines(centre[None]).detach().max()) == pytest.approx(1.0, abs=1e-6)


def test_noisy_arcmix_of_unmixed_sound_is_arcface() -> None:
    logits, label, partner = noise(4, 3), torch.tensor([0, 1, 2, 0]), torch.tensor([1, 1, 0, 2])
    loss = noisy_arcmix(logits, label, partner, torch.tensor(1.0))
    torch.testing.assert_close(loss, nn.functional.cross_entropy(logits, label))


def test_a_mixture_of_one_component_is_the_gaussian_density() -> None:
    items = noise(200, 3) @ torch.tensor([[1.0, 0.2, 0], [0, 2.0, 0.5], [0, 0, 0.7]])
    covariance = torch.cov(items.t().double(), correction=0) + 1e-3 * torch.eye(3)
    density = torch.distributions.MultivariateNormal(items.double().mean(0), covariance)
    expected = -density.log_prob(items[:5].double())  # type: ignore[no-untyped-call]
    found = fit_gaussian_mixture(items)(items[:5])
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("frames", [2, 7, 100])
def test_the_prior_is_a_gaussian_for_any_number_of_frames(frames: int) -> None:
    prior = gaussian_prior(torch.full((1, 1, frames), 1.5))
    assert prior.shape == (1, 1, frames, frames)
    torch.testing.assert_close(prior.sum(-1), torch.ones(1, 1, frames))
    ratio = float(prior[0, 0, 0, 1] / prior[0, 0, 0, 0])
    assert ratio == pytest.approx(math.exp(-1 / (2 * 1.5**2)), rel=1e-4)


def test_the_narrowest_prior_stays_finite() -> None:
    prior = gaussian_prior(torch.full((1, 1, 50), 3.0**1e-5 - 1.0))
    assert bool(torch.isfinite(prior).all())


def test_associations_sum_to_one_and_do_not_diverge_from_themselves() -> None:
    _, series, prior = AnomalyAttention(8, 2)(noise(3, 11, 8))
    for each in (series, prior):
        torch.testing.assert_close(each.sum(-1), torch.ones(3, 2, 11))
        assert float(divergence(each, each).detach().abs().max()) == 0.0
    assert float(divergence(series, prior).detach().min()) >= -1e-4


def small_transformer() -> MinimaxLoss:
    recipe = AnomalyTransformerRecipe(n_mels=8, dims=8, heads=2, layers=2, hidden=8)
    torch.manual_seed(0)
    return MinimaxLoss(recipe, torch.zeros(8), torch.ones(8))


def test_one_backward_pass_of_the_sum_is_the_published_two() -> None:
    together, apart = small_transformer(), small_transformer()
    frames = noise(4, 20, 8)
    together(frames).backward()
    first, second = apart.losses(frames)
    first.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    second.backward()  # type: ignore[no-untyped-call]
    for (name, one), other in zip(together.named_parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6, msg=name)
    # A bias of the keys shifts all of a frame's logits alike, so a softmax cannot see it.
    assert [name for name in unreached(together) if not name.endswith("key.bias")] == []


def test_each_side_of_the_minimax_moves_one_association_apart_from_the_error() -> None:
    network = small_transformer()
    frames = noise(4, 20, 8)
    first, second = network.losses(frames)
    widths = [n for n, _ in network.named_parameters() if ".width." in n]
    first.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    gradients = dict(network.named_parameters())
    assert all(gradients[name].grad is None for name in widths[-2:])  # of the last layer's prior
    second.backward()  # type: ignore[no-untyped-call]
    assert all(bool(gradients[name].grad.abs().sum() > 0) for name in widths)  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [(64, 128), (33, 47)])
def test_mobilenetv2_takes_images_of_any_size(size: tuple[int, int]) -> None:
    logits = MobileNetV2(4).eval()(noise(2, 3, *size))
    assert logits.shape == (2, 4)
    assert bool(torch.isfinite(logits).all())


def test_gradient_reaches_every_weight_of_mobilenetv2() -> None:
    network = SectionClassifier(MobileNetV2Recipe(), ["a", "b"], torch.zeros(128))
    network(noise(4, 64, 128), torch.tensor([0, 1, 1, 0])).backward()
    assert unreached(network) == []


def small_aegan(matching: str = "mean_and_deviation") -> AeganAd:
    recipe = AeganAdRecipe.model_validate({"channels": 2, "code": 4, "matching": matching})
    return AeganAd(recipe, torch.tensor(-3.0), torch.tensor(3.0))


def test_each_step_of_aegan_reaches_all_of_its_own_weights_and_no_others() -> None:
    for step, own, other in ((0, "discriminator", "generator"), (1, "generator", "discriminator")):
        network = small_aegan()
        network(noise(3, 128, 128), step).backward()
        # The critic's constant cancels between real and rebuilt.
        assert set(unreached(getattr(network, own))) <= {"critic.2.bias"}
        assert all(each.grad is None for each in getattr(network, other).parameters())


def test_the_gradient_penalty_is_zero_where_the_critic_rises_by_one() -> None:
    class Ramp(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x.flatten(1).sum(1) / math.sqrt(x[0].numel())

    penalty = gradient_penalty(Ramp(), noise(4, 1, 8, 8), noise(4, 1, 8, 8) + 1.0)
    assert float(penalty) == pytest.approx(0.0, abs=1e-9)


def test_there_are_nineteen_scores() -> None:
    assert len(set(SCORES)) == 19


def test_lof_by_cosine_is_that_of_scikit_learn() -> None:
    from sklearn.neighbors import LocalOutlierFactor

    known, new = noise(40, 6) + 1.0, noise(55, 6)[40:] + 1.0
    theirs = LocalOutlierFactor(n_neighbors=4, metric="cosine", novelty=True).fit(known.numpy())
    expected = -theirs.score_samples(new.numpy())
    found = fit_lof(known, count=4, cosine=True)(new)
    torch.testing.assert_close(found, torch.from_numpy(expected).float(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("all_frames", "hop"), [(10, 3), (11, 3), (4, 1), (25, 4)])
def test_segments_cover_every_frame_and_lie_back_where_they_were(all_frames: int, hop: int) -> None:
    spectrogram = noise(2, all_frames, 5)
    segments, starts = clip_segments(spectrogram, 4, hop)
    assert int(starts[-1]) == all_frames - 4
    torch.testing.assert_close(overlap_mean(segments, starts, all_frames), spectrogram)


def test_overlapping_segments_are_averaged() -> None:
    segments = torch.tensor([1.0, 3.0]).reshape(1, 2, 1, 1).expand(1, 2, 2, 1)
    found = overlap_mean(segments, torch.tensor([0, 1]), 3)
    assert found.flatten().tolist() == [1.0, 2.0, 3.0]


def test_segments_stay_within_their_clip() -> None:
    clips = ClipRows(torch.zeros(30, 2), torch.tensor([0, 10, 13]), torch.tensor([10, 3, 17]))
    starts = segment_starts(clips, 8, 4).tolist()
    assert starts == [0, 2, 13, 17, 21, 22]
    assert starts_within(8, 8, 4).tolist() == [0]


def test_windows_shorter_than_a_segment_are_refused_with_what_is_needed() -> None:
    recipe = AeganAdRecipe(window_s=2.0)
    with pytest.raises(ConfigError, match=r"at least 128 frames \(4\.064 s\), found 63 \(2 s\)"):
        check_window(128, 512, recipe)
