"""Published weights: every tensor is loaded, and the networks compute what the originals do."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from asd_offline.models import MODELS
from asd_offline.models.aegan_ad.network import AeganAd
from asd_offline.models.aegan_ad.recipe import AeganAdRecipe
from asd_offline.models.anomaly_transformer.network import MinimaxLoss
from asd_offline.models.anomaly_transformer.recipe import AnomalyTransformerRecipe
from asd_offline.models.autoencoder.network import ReconstructionLoss
from asd_offline.models.autoencoder.recipe import AutoencoderRecipe
from asd_offline.models.mobilenetv2.network import SectionClassifier
from asd_offline.models.mobilenetv2.recipe import MobileNetV2Recipe
from asd_offline.models.published_weights import PUBLISHED_WEIGHTS
from asd_offline.models.stgram_mfn.network import StgramMfn
from asd_offline.models.stgram_mfn.recipe import StgramMfnRecipe
from asd_offline.weights.matching import MatchReport, WeightMatcher
from asd_offline.weights.reader import WeightFile
from tests.offline.published_checkpoints import (
    DEEP,
    SHALLOW,
    Stages,
    State,
    aegan,
    aegan_critic,
    aegan_reconstruction,
    aenet,
    aenet_reconstruction,
    anomaly_transformer,
    mobilenet,
    stgram,
    stgram_embedding,
    transformer_reconstruction,
)

FOUR = tuple(f"fan/id_{i:02d}" for i in (0, 2, 4, 6))


def load_states(model: str, network: nn.Module, *states: State) -> MatchReport:
    files = [WeightFile(Path(f"{i}.pth"), "", state) for i, state in enumerate(states)]
    return WeightMatcher(network.eval(), PUBLISHED_WEIGHTS[model]).load_from(files)


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(9))


def assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def stgram_network(classes: tuple[str, ...], **changes: object) -> StgramMfn:
    recipe = StgramMfnRecipe.model_validate({"window_s": 10.0, "hop_s": 5.0, **changes})
    return StgramMfn(recipe, classes)


@pytest.mark.parametrize(
    ("depth", "stages", "flat"),
    [("shallow", SHALLOW, False), ("deep", DEEP, False), ("deep", DEEP, True)],
)
def test_stgram_embeds_as_the_original_does(depth: str, stages: Stages, flat: bool) -> None:
    network = stgram_network(FOUR, depth=depth)
    state = stgram(4, stages, flat=flat)
    matched = load_states("stgram_mfn", network, state)
    assert matched.uninitialised == (("head.weight",) if flat else ())
    assert [line.partition(" ")[0] for line in matched.left_out] == [
        f"{'' if flat else 'mobilefacenet.'}fc_out.{part}" for part in ("weight", "bias")
    ]
    waveform = 0.1 * noise(2, 160_000)
    with torch.no_grad():
        mel = network.sgram(waveform)
        assert_close(
            network.embed(mel, network.tgram(waveform)),
            stgram_embedding(state, waveform, mel, stages),
        )


def test_the_classes_of_the_authors_file_are_found_by_name() -> None:
    state = stgram(41)
    matched = load_states(
        "stgram_mfn", network := stgram_network(("pump/id_04", "fan/id_01")), state
    )
    assert "classes by name: 2 of the 41 of liuyoude/STgram-MFN" in matched.notes
    assert network.head is not None
    # Development set first (23 ids, fan and pump have four each), then the additional one.
    assert torch.equal(network.head.weight, state["arcface.weight"][[6, 23]])


def test_classes_of_the_file_that_are_left_out_are_reported_with_their_effect_on_scores() -> None:
    matched = load_states("stgram_mfn", stgram_network(FOUR), stgram(23))
    notes = [note for note in matched.notes if note.startswith("19 classes of the file are left")]
    assert len(notes) == 1
    assert "scores that use them differ" in notes[0]


def test_no_class_is_reported_as_left_out_if_all_are_used() -> None:
    known = PUBLISHED_WEIGHTS["stgram_mfn"].class_names[23]
    matched = load_states("stgram_mfn", stgram_network(known[::-1]), stgram(23))
    assert "classes by name: 23 of the 23 of liuyoude/STgram-MFN" in matched.notes
    assert not any("left out" in note for note in matched.notes)


def test_sub_centres_are_grouped_by_class_as_in_the_authors_file() -> None:
    state = stgram(4, centres=3)
    network = stgram_network(tuple("abcd"), sub_centres=3)
    matched = load_states("stgram_mfn", network, state)
    assert matched.uninitialised == ()
    assert any("order of its classes is: a, b, c, d" in note for note in matched.notes)
    embedding = noise(5, 128)
    assert network.head is not None
    unit = nn.functional.normalize(state["arcface.weight"], dim=1)
    expected = (nn.functional.normalize(embedding, dim=1) @ unit.T).reshape(5, 4, 3).amax(2)
    assert_close(network.head.cosines(embedding), expected)


def test_another_number_of_classes_leaves_the_class_layer_out() -> None:
    network = stgram_network(tuple("abcde"))
    matched = load_states("stgram_mfn", network, stgram(4))
    assert matched.uninitialised == ("head.weight",)
    assert "arcface.weight (4, 128): head.weight needs (5, 128), another number of classes" in (
        matched.left_out
    )


def test_tensors_for_another_window_length_are_reported_with_a_hint() -> None:
    recipe = StgramMfnRecipe(window_s=5.0, hop_s=2.5)
    matched = load_states("stgram_mfn", StgramMfn(recipe, FOUR), stgram(4))
    assert "tgramnet.conv_encoder.0.0.weight (313,): tgram.layers.0.weight needs (157,)" in (
        matched.left_out
    )
    assert any(
        line.startswith("mobilefacenet.linear7.conv.weight (512, 1, 8, 20)")
        for line in matched.left_out
    )
    assert any("window_s: 10.0" in note for note in matched.notes)


def test_aegan_reconstructs_and_embeds_as_the_original_does() -> None:
    network = AeganAd(AeganAdRecipe(window_s=10.0), torch.tensor(-80.0), torch.tensor(0.0))
    generator, critic = aegan()
    matched = load_states("aegan_ad", network, {**generator, **critic})
    assert (matched.left_out, matched.uninitialised) == ((), ())
    segments = 0.5 * noise(2, 1, 128, 128)  # in the original's layout: bands, frames
    with torch.no_grad():
        transposed = segments.transpose(2, 3)
        assert_close(
            network.generator(transposed).transpose(2, 3), aegan_reconstruction(generator, segments)
        )
        for output, expected in zip(
            network.discriminator(transposed), aegan_critic(critic, segments), strict=True
        ):
            assert_close(output, expected)


@pytest.mark.parametrize(("norm", "first_norm"), [("bn", True), ("ln", False)])
def test_both_norms_of_the_aegan_generator_fit(norm: str, first_norm: bool) -> None:
    norm_name = {"bn": "batch", "ln": "layer"}[norm]
    recipe = AeganAdRecipe.model_validate({"generator_norm": norm_name, "first_norm": first_norm})
    network = AeganAd(recipe, torch.tensor(-80.0), torch.tensor(0.0))
    generator, critic = aegan(norm, first_norm=first_norm)
    matched = load_states("aegan_ad", network, generator, critic)  # a file for each
    assert (matched.left_out, matched.uninitialised) == ((), ())


def test_an_aegan_generator_of_another_recipe_is_reported_with_the_settings() -> None:
    network = AeganAd(AeganAdRecipe(), torch.tensor(-80.0), torch.tensor(0.0))
    matched = load_states("aegan_ad", network, *aegan("bn"))
    assert any(line.startswith("Encoder.main.1.running_mean (32,)") for line in matched.left_out)
    assert any("generator_norm" in note for note in matched.notes)


def test_the_anomaly_transformer_reconstructs_as_the_original_does() -> None:
    recipe = AnomalyTransformerRecipe(n_mels=40, dims=64, layers=2, hidden=48)
    network = MinimaxLoss(recipe, torch.zeros(40), torch.ones(40))
    state = anomaly_transformer(40, 64, 2, 48)
    matched = load_states("anomaly_transformer", network, state)
    assert matched.uninitialised == ()
    assert sorted(line.partition(" ")[0] for line in matched.left_out) == [
        "embedding.position_embedding.pe",
        *[
            f"encoder.attn_layers.{i}.attention.norm.{part}"
            for i in (0, 1)
            for part in ("bias", "weight")
        ],
    ]
    frames = noise(2, 30, 40)
    with torch.no_grad():
        reconstruction, _, prior = network.associations(frames)
        expected, expected_prior = transformer_reconstruction(state, frames, 2)
    assert_close(reconstruction, expected)
    assert_close(prior[-1], expected_prior)


def test_published_transformers_fit_between_the_first_and_the_last_layer() -> None:
    network = MinimaxLoss(AnomalyTransformerRecipe(), torch.zeros(128), torch.ones(128))
    matched = load_states("anomaly_transformer", network, anomaly_transformer(38))
    assert matched.uninitialised == (
        "associations.embedding.weight",
        "associations.projection.weight",
        "associations.projection.bias",
    )


@pytest.mark.parametrize("model", ["autoencoder", "autoencoder_mahalanobis"])
def test_the_autoencoder_reconstructs_as_the_original_does(model: str) -> None:
    network, state = ReconstructionLoss(AutoencoderRecipe()), aenet()
    matched = load_states(model, network, state)
    assert matched.uninitialised == ()
    assert [line.partition(":")[0] for line in matched.left_out] == [
        "cov_source (128, 128)",
        "cov_target (128, 128)",
    ]
    vectors = noise(3, 640)
    with torch.no_grad():
        assert_close(network.autoencoder(vectors), aenet_reconstruction(state, vectors))


def test_mobilenetv2_takes_every_tensor_of_torchvisions_layout() -> None:
    recipe = MobileNetV2Recipe()
    network = SectionClassifier(recipe, ("a", "b", "c"), torch.zeros(128))
    state = mobilenet(3)
    matched = load_states("mobilenetv2", network, state)
    assert (matched.left_out, matched.uninitialised) == ((), ())
    get = network.network.get_submodule
    for theirs, ours in (
        ("features.0.0", "layers.0.conv"),
        ("features.1.conv.1", "layers.1.layers.1.conv"),
        ("features.7.conv.1.0", "layers.7.layers.1.conv"),
        ("features.17.conv.3", "layers.17.layers.2.norm"),
        ("features.18.1", "layers.18.norm"),
        ("classifier.1", "classifier"),
    ):
        for name, tensor in get(ours).state_dict().items():
            assert torch.equal(tensor, state[f"{theirs}.{name}"]), (theirs, name)


def test_a_classifier_of_other_sections_starts_at_random() -> None:
    network = SectionClassifier(MobileNetV2Recipe(), ("a", "b", "c"), torch.zeros(128))
    matched = load_states("mobilenetv2", network, mobilenet(4))
    assert matched.uninitialised == ("network.classifier.weight", "network.classifier.bias")


def test_published_weights_are_of_registered_models() -> None:
    assert set(PUBLISHED_WEIGHTS) <= set(MODELS)
