"""Shipped recipes are valid, and errors in recipes are reported."""

from pathlib import Path

import pytest
import soundfile
import torch

from asd_monitor.errors import ConfigError, DatasetError, RunError
from asd_offline.datasets.loading import open_dataset
from asd_offline.models import MODELS
from asd_offline.recipes import read_recipe, resolve, restore_recipe
from tests.offline.small_sounds import hum, make_set, small_recipe
from tests.rig.paths import CONFIGS

SHIPPED = CONFIGS / "train"
# Published with windows of 10 s; without a recipe the window is as long as the clips.
INTENDED_DIFFERENCES = {"stgram_mfn": {"window_s"}}


@pytest.mark.parametrize("name", [name for name in MODELS if (SHIPPED / f"{name}.yaml").exists()])
def test_training_without_a_recipe_is_training_with_the_shipped_one(name: str) -> None:
    recipe_type = MODELS[name].recipe
    shipped = read_recipe(SHIPPED / f"{name}.yaml", name, recipe_type)
    needed = [name for name, field in recipe_type.model_fields.items() if field.is_required()]
    default = read_recipe(None, name, recipe_type, **{key: getattr(shipped, key) for key in needed})
    differing = {f for f in recipe_type.model_fields if getattr(shipped, f) != getattr(default, f)}
    assert differing == INTENDED_DIFFERENCES.get(name, set())


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_a_published_and_a_small_recipe(name: str) -> None:
    assert (SHIPPED / f"{name}.yaml").exists() or [*(SHIPPED / name).glob("*.yaml")]
    trained = MODELS[name].recipe.model_fields["epochs"].default > 0
    assert (SHIPPED / "small" / f"{name}.yaml").exists() or not trained


@pytest.mark.parametrize("path", sorted(SHIPPED.rglob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_recipe_is_valid_and_named_after_its_model(path: Path) -> None:
    # A folder named after a model holds variants of its recipe.
    name = path.stem if path.stem in MODELS else path.parent.name
    assert read_recipe(path, name, MODELS[name].recipe).model == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: autoencoder\nepocs: 3\n", r"recipe.yaml:2: epocs: .*did you mean 'epochs'"),
        ("model: autoencoder\nepochs: many\n", r"recipe.yaml:2: epochs: .*'many'"),
        ("model: autoencoder\nepochs: 3\nepochs: 4\n", "given twice"),
        ("model: twfr_gmm\n", "for model 'twfr_gmm', not for 'autoencoder'"),
        ("model: autoencoder\nhop_s: 3\nwindow_s: 2\n", "hop_s .3. is longer than window_s .2."),
        ("model: autoencoder\nlearning_rate: .inf\n", "recipe.yaml:2: .*a finite number, got inf"),
        ("model: autoencoder\nadam_betas: [0.9, 1.0]\n", "recipe.yaml:2: adam_betas.*less than 1"),
        ("", "recipe.yaml: expected keys such as 'model:' at the top, found nothing"),
    ],
)
def test_an_error_in_a_recipe_is_reported_with_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_recipe(path, "autoencoder", MODELS["autoencoder"].recipe)


def test_the_command_line_changes_single_values(tmp_path: Path) -> None:
    path = SHIPPED / "small" / "autoencoder.yaml"
    recipe = read_recipe(path, "autoencoder", MODELS["autoencoder"].recipe, epochs=2)
    assert (recipe.epochs, recipe.batch_size) == (2, 256)


def test_the_window_is_as_long_as_the_shortest_clip(tmp_path: Path) -> None:
    clips = open_dataset(make_set(tmp_path / "set", clips=4)).clips
    recipe, _ = resolve(small_recipe(), clips)
    assert (recipe.window_samples, recipe.hop_samples) == (8000, 4000)
    assert resolve(small_recipe(window_s=0.5, hop_s=0.5), clips)[0].hop_samples == 4000


def test_clips_of_another_rate_are_never_shorter_than_the_window(tmp_path: Path) -> None:
    from asd_monitor.audio.files import read_recording

    for number in range(4):
        path = tmp_path / "press" / "normal" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, hum(number, 300.0, 11_025), 11_025)
    clips = open_dataset(tmp_path / "press").clips
    recipe, _ = resolve(small_recipe(), clips)
    assert 7990 < recipe.window_samples <= min(len(read_recording(c.path, 8000)) for c in clips)


def test_long_recordings_are_cut_into_windows_of_ten_seconds(tmp_path: Path) -> None:
    path = tmp_path / "press" / "normal"
    path.mkdir(parents=True)
    for number in range(2):
        soundfile.write(path / f"{number}.wav", hum(number, 300.0, 8000, 20.0), 8000)
    assert resolve(small_recipe(), open_dataset(tmp_path / "press").clips)[0].window_s == 10.0


def test_clips_shorter_than_the_recipes_window_are_named(tmp_path: Path) -> None:
    clips = open_dataset(make_set(tmp_path / "set", clips=4)).clips
    with pytest.raises(
        DatasetError, match=r"wav: lasts 1 s, the recipe's window 2 s; set window_s"
    ):
        resolve(small_recipe(window_s=2.0), clips)


def test_a_hop_longer_than_the_clips_is_refused(tmp_path: Path) -> None:
    clips = open_dataset(make_set(tmp_path / "set", clips=4)).clips
    with pytest.raises(ConfigError, match=r"hop_s: expected at most the window, 1 s here, found 2"):
        resolve(small_recipe(hop_s=2.0), clips)


@pytest.mark.parametrize("name", ["autoencoder", "twfr_gmm", "spectral_adacos", "multires_adacos"])
def test_a_window_too_short_for_the_model_is_refused(tmp_path: Path, name: str) -> None:
    clips = open_dataset(make_set(tmp_path / "set", clips=4)).clips
    recipe_type = MODELS[name].recipe
    min_window_s = recipe_type(model=name).min_window_samples / 16000
    with pytest.raises(
        ConfigError, match=f"window_s: expected at least {min_window_s:.3g} s, as {name}"
    ):
        resolve(recipe_type(model=name, window_s=0.9 * min_window_s), clips)
    assert (
        resolve(recipe_type(model=name, window_s=min_window_s), clips)[0].window_s == min_window_s
    )
    soundfile.write(clips[0].path, hum(0, 300.0, seconds=0.01), 8000)
    with pytest.raises(
        DatasetError, match=r"\.wav: expected at least .* found 0\.00.* or remove it"
    ):
        resolve(recipe_type(model=name), clips)


@pytest.mark.parametrize("name", ["spectral_adacos", "multires_adacos"])
def test_the_shortest_allowed_window_can_be_embedded(name: str) -> None:
    recipe_type = MODELS[name].recipe
    min_samples = recipe_type(model=name).min_window_samples
    recipe = recipe_type(model=name, window_s=min_samples / 16000, hop_s=min_samples / 16000)
    embeddings = recipe.branches()(torch.randn(2, min_samples))
    assert all(embedding.shape == (2, 128) for embedding in embeddings)


def test_a_recipe_of_another_version_is_reported_in_one_line() -> None:
    recipe_type = MODELS["autoencoder"].recipe
    with pytest.raises(
        RunError, match=r"^runs/fan: its recipe .*: botleneck: .*; train again"
    ) as raised:
        restore_recipe(recipe_type, {"botleneck": 8}, "runs/fan")
    assert "\n" not in str(raised.value)
