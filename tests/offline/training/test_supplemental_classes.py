"""Models that use supplemental clips learn them as separate classes, and a run knows its files."""

import json
from pathlib import Path

import pytest
import soundfile
import torch

from asd_monitor.errors import DatasetError
from asd_offline.datasets import Dataset, open_dataset
from asd_offline.features.cache import FeatureCache
from asd_offline.features.labelled_windows import LabelledWindows, classifier_clips
from asd_offline.models import MODELS
from asd_offline.models.adacos.recipe import SpectralAdacosRecipe
from asd_offline.training.prepare import PreparedData, prepare
from asd_offline.training.run import train
from asd_offline.training.trained_run import load_trained_run
from tests.offline.small_sounds import CPU, RATE_HZ, FakeProgress, hum, request

SMALL = {
    "sample_rate_hz": RATE_HZ,
    "n_fft": 256,
    "hop_length": 128,
    "epochs": 1,
    "feature_groups": False,
    "supplemental_classes": True,
}


def write_set(root: Path, *, supplemental: bool = True) -> Path:
    """Write two machines of 2025, one with noise and one with sound of the machine."""
    for machine, content in (("BandSealer", "noise"), ("HomeCamera", "machine")):
        for number in range(8):
            name = f"section_00_source_train_normal_{number:04d}_n_A.wav"
            write(root / machine / "train" / name, number, 300.0)
        for number in range(2 if supplemental else 0):
            name = f"section_00_{content}_source_{number:04d}.wav"
            write(root / machine / "supplemental" / name, 50 + number, 900.0)
    return root


def write(path: Path, seed: int, tone_hz: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, hum(seed, tone_hz), RATE_HZ)


def prepared(dataset: Dataset, *, supplemental_classes: bool) -> PreparedData:
    recipe = SpectralAdacosRecipe(**SMALL | {"supplemental_classes": supplemental_classes})
    return prepare(MODELS["spectral_adacos"], dataset, recipe)


def test_supplemental_clips_are_classes_that_no_training_clip_belongs_to(tmp_path: Path) -> None:
    data = prepared(open_dataset(write_set(tmp_path / "set")), supplemental_classes=True)
    clips = classifier_clips(data.targets, supplemental=True)
    windows = LabelledWindows(clips, FeatureCache(tmp_path / "cache"), RATE_HZ, RATE_HZ)
    assert windows.class_names == (
        "BandSealer/section_00//supplemental=noise",
        "BandSealer/section_00/source/n=A",
        "HomeCamera/section_00//supplemental=machine",
        "HomeCamera/section_00/source/n=A",
    )
    _, labels = windows.draw(torch.arange(len(windows)), torch.Generator().manual_seed(0))
    trained = len(data.clips) - sum(len(target.held_out) for target in data.targets)
    assert len(windows) == trained + 4
    assert labels.argmax(1)[trained:].tolist() == [0, 0, 2, 2]


@pytest.mark.parametrize("name", ["stgram_mfn", "mobilenetv2"])
def test_classifiers_of_sections_learn_them_as_further_classes(tmp_path: Path, name: str) -> None:
    dataset = open_dataset(write_set(tmp_path / "set"), machines=["BandSealer"])
    model = MODELS[name]
    sizes = {"n_fft": 256, "hop_length": 64, "n_mels": 32}
    recipe = model.recipe.model_validate(
        {"sample_rate_hz": RATE_HZ, "epochs": 1, "supplemental_classes": True, **sizes}
    )
    data = prepare(model, dataset, recipe)
    (network,) = data.networks
    task = data.new_task(network, 0, FeatureCache(tmp_path / "cache"))
    target, extra = "BandSealer/section_00", "BandSealer/section_00//supplemental=noise"
    assert task.network.class_names == (target, extra)
    _, labels = task.draw(torch.arange(task.sample_count), torch.Generator().manual_seed(0))
    trained = sum(len(each.clips) for each in data.targets)
    share = trained / (trained + 2)
    assert (labels == 0).float().mean().item() == pytest.approx(share)
    assert {clip.path.parent.name for clip in data.clips} == {"train"}


def test_every_recipe_with_classes_offers_the_setting() -> None:
    field = "supplemental_classes"
    with_setting = {name for name, model in MODELS.items() if field in model.recipe.model_fields}
    without_classes = {
        "autoencoder", "autoencoder_mahalanobis", "twfr_gmm", "modulation_knn", "aegan_ad",
        "anomaly_transformer",
    }  # fmt: skip
    assert with_setting | without_classes == set(MODELS)


def test_without_the_setting_no_supplemental_clip_is_used(tmp_path: Path) -> None:
    dataset = open_dataset(write_set(tmp_path / "set"))
    data = prepared(dataset, supplemental_classes=False)
    extra = {clip.path for clip in dataset.supplemental}
    assert len(extra) == 4
    assert not extra & {clip.path for clip in (*classifier_clips(data.targets), *data.sources)}


def test_the_setting_without_supplemental_clips_is_reported(tmp_path: Path) -> None:
    dataset = open_dataset(write_set(tmp_path / "set", supplemental=False))
    assert any(
        "has no effect" in note for note in prepared(dataset, supplemental_classes=True).notes
    )


def test_a_run_whose_supplemental_clips_have_changed_is_not_loaded(tmp_path: Path) -> None:
    dataset = write_set(tmp_path / "set")
    recipe = tmp_path / "adacos.yaml"
    recipe.write_text(json.dumps({"model": "spectral_adacos", **SMALL}))
    train(request(tmp_path, dataset, model="spectral_adacos", recipe=recipe), CPU, FakeProgress())
    run = tmp_path / "run"
    load_trained_run(run, tmp_path / "cache")
    changed = dataset / "HomeCamera" / "supplemental" / "section_00_machine_source_0000.wav"
    write(changed, 99, 500.0)
    with pytest.raises(DatasetError, match=r"are not those that .* was trained on"):
        load_trained_run(run, tmp_path / "cache")
