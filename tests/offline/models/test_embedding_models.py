"""Models with embeddings and neighbours: what they learn, what they hear, what they export."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from asd_monitor.audio.files import read_recording
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.features import FEATURE_GROUP_NAMES
from asd_monitor.model_file import load
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_offline.datasets.clip import Clip
from asd_offline.datasets.loading import open_dataset
from asd_offline.export.export import export
from asd_offline.features import pseudo_labels
from asd_offline.features.cache import FeatureCache
from asd_offline.features.labelled_windows import LabelledWindows, clip_classes
from asd_offline.models import MODELS
from asd_offline.models.adacos.fine_views import FINER_VIEW_NAMES, MOVING_VIEW_NAMES
from asd_offline.models.adacos.fused_detector import BesideDetector
from asd_offline.models.adacos.spectral import SpectralAdacosRecipe
from asd_offline.models.modulation_knn import ModulationSpectra
from asd_offline.training.prepare import prepare
from asd_offline.training.run import train
from tests.offline.small_sounds import CPU, RATE_HZ, Silent, hum, make_set, request

SETTINGS: dict[str, dict[str, object]] = {
    "multires_adacos": {
        "resolutions": [[64, 32], [256, 128]],
        "embedding_dims": 16,
        "sub_clusters": 2,
        "batch_size": 16,
        "epochs": 6,
        "auc_every": 0,
        "pseudo_classes": False,
        "ensemble": 2,
        "views": False,
    },
    "modulation_neighbours": {"envelope_bands": 12},
    "spectral_adacos": {
        "n_fft": 256,
        "hop_length": 128,
        "embedding_dims": 16,
        "sub_clusters": 2,
        "batch_size": 16,
        "epochs": 6,
        "pseudo_classes": False,
        "auc_every": 0,
    },
}


def recipe_file(folder: Path, model: str, **changes: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{model}.yaml"
    values = {"model": model, "sample_rate_hz": RATE_HZ, **SETTINGS[model], **changes}
    path.write_text(yaml.safe_dump(values))
    return path


def exported(folder: Path, model: str, machines: tuple[str, ...], ids: tuple[str, ...]) -> Path:
    made = make_set(folder / "set", machines, ids)
    asked = request(folder, made, model=model, recipe=recipe_file(folder, model))
    train(asked, CPU, Silent())
    export(asked.out, folder / "model.asd", asked.cache)
    return folder / "model.asd"


@pytest.fixture(scope="module", params=list(SETTINGS))
def scorer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp(request.param)
    return load(exported(folder, request.param, ("fan", "pump"), ("00",)))


def test_a_model_file_has_a_bank_and_a_calibration_for_each_target(scorer: LoadedModel) -> None:
    names = ("fan/id_00", "pump/id_00")
    assert scorer.manifest.targets == names
    assert set(scorer.manifest.calibrations) == set(names)


def test_each_target_finds_its_own_sound_more_normal_than_another_does(scorer: LoadedModel) -> None:
    # hum at 500 Hz is fan id_00; pump id_00 is 600 Hz.
    windows = np.stack([hum(60 + i, 500.0) for i in range(6)])
    own = scorer.score(windows, np.full(6, scorer.target_index("fan/id_00")))
    other = scorer.score(windows, np.full(6, scorer.target_index("pump/id_00")))
    assert own.mean() < other.mean()


def test_a_fault_scores_above_normal_sound(scorer: LoadedModel) -> None:
    target = np.full(6, scorer.target_index("fan/id_00"))
    surge = 1.0 + 0.9 * np.sin(2 * np.pi * 9.0 * np.arange(RATE_HZ) / RATE_HZ)
    normal = np.stack([hum(80 + i, 500.0) for i in range(6)])
    faulty = np.stack([hum(80 + i, 500.0) + hum(90 + i, 1500.0) for i in range(6)])
    faulty = (faulty * surge).astype(np.float32)
    assert scorer.score(faulty, target).min() > scorer.score(normal, target).max()


def test_scores_are_finite_on_silence_and_alike_alone_and_in_a_batch(scorer: LoadedModel) -> None:
    windows = np.stack([hum(7, 500.0), np.zeros(RATE_HZ, np.float32), hum(8, 640.0)])
    targets = np.array([0, 1, 1])
    together = scorer.score(windows, targets)
    alone = [scorer.score(windows[i : i + 1], targets[i : i + 1])[0] for i in range(3)]
    assert np.all(np.isfinite(together))
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-5)


def test_modulation_spectra_do_not_change_with_the_gain() -> None:
    spectra = ModulationSpectra(RATE_HZ, RATE_HZ, RATE_HZ, 12).eval()
    window = torch.from_numpy(hum(1, 500.0))[None]
    torch.testing.assert_close(spectra(0.5 * window), spectra(window), rtol=0, atol=0.01)
    assert spectra(window).shape == (1, 1, 12 * 8)


def test_stopped_and_resumed_training_gives_the_same_network(tmp_path: Path) -> None:
    made = make_set(tmp_path / "set", ("fan", "pump"), ("00", "02"), clips=4)
    recipe = recipe_file(tmp_path, "spectral_adacos", epochs=3)
    asked = request(tmp_path, made, model="spectral_adacos", recipe=recipe)
    train(asked, CPU, Silent())
    stopped = replace(asked, out=tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        train(stopped, CPU, Silent(stop_at_epoch=1))
    train(replace(stopped, resume=True), CPU, Silent())
    last = [
        torch.load(next((folder / "networks" / "all").glob("epoch-*3-*.pt")), weights_only=True)
        for folder in (asked.out, stopped.out)
    ]
    for name, weight in last[0]["weights"].items():
        assert torch.equal(weight, last[1]["weights"][name]), name


def _clips(folder: Path, machines: Sequence[str], ids: Sequence[str], clips: int) -> list[Clip]:
    made = make_set(folder / "set", tuple(machines), tuple(ids), clips)
    return list(open_dataset(made).select(split="train"))


def test_a_class_is_a_machine_with_section_domain_and_attributes(tmp_path: Path) -> None:
    clip = Clip(tmp_path, 2023, "fan", "section_00", "source", "train", 0, (("load", "high"),))
    others = [
        replace(clip, machine="pump"),
        replace(clip, section="section_01"),
        replace(clip, domain="target"),
        replace(clip, attributes=(("load", "low"),)),
        replace(clip, name="another recording"),
    ]
    names, classes = clip_classes([clip, *others])
    assert len(names) == 5
    assert classes[0] == classes[5]
    assert len(set(classes.tolist())) == 5


def test_labels_of_many_classes_come_from_the_data_set(tmp_path: Path) -> None:
    clips = _clips(tmp_path, ("fan", "pump"), ("00", "02"), 4)
    windows = LabelledWindows(clips, FeatureCache(tmp_path / "cache"), RATE_HZ, RATE_HZ)
    assert (len(windows), windows.classes) == (16, 4)
    drawn, labels = windows.draw(torch.arange(16), torch.Generator().manual_seed(0))
    assert drawn.shape == (16, RATE_HZ)
    assert torch.equal(labels.argmax(1), torch.arange(4).repeat_interleave(4))


def test_clips_shorter_than_a_window_are_repeated(tmp_path: Path) -> None:
    clips = _clips(tmp_path, ("fan", "pump"), ("00", "02"), 4)
    cache = FeatureCache(tmp_path / "cache")
    windows = LabelledWindows(clips, cache, RATE_HZ, 2 * RATE_HZ + 100)
    drawn, _ = windows.draw(torch.tensor([0]), torch.Generator().manual_seed(0))
    assert drawn.shape == (1, 2 * RATE_HZ + 100)
    assert torch.equal(drawn[0, :RATE_HZ], drawn[0, RATE_HZ : 2 * RATE_HZ])


def test_one_machine_without_labels_gets_clusters_and_alterations(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    made = make_set(folder, ("fan",), ("00",), 12)
    clips = open_dataset(made).select(split="train")
    windows = LabelledWindows(clips, FeatureCache(tmp_path / "cache"), RATE_HZ, RATE_HZ)
    assert windows.pseudo
    assert windows.classes == 2 * 5
    _, labels = windows.draw(torch.arange(12).repeat(20), torch.Generator().manual_seed(0))
    assert (labels.sum(0) > 0).all()
    altered = labels[:, 2:].sum() / labels.sum()
    assert 0.35 < float(altered) < 0.65


@pytest.mark.parametrize("views", [True, False])
def test_banks_never_hold_held_out_clips(tmp_path: Path, views: bool) -> None:
    made = make_set(tmp_path / "set", ("fan", "pump"), ("00", "02"), clips=8)
    model = MODELS["spectral_adacos"]
    values = {"sample_rate_hz": RATE_HZ, **SETTINGS["spectral_adacos"], "ensemble": 2}
    values["views"] = views
    prepared = prepare(model, open_dataset(made), SpectralAdacosRecipe(**values))
    features = FeatureCache(tmp_path / "cache")
    network = prepared.new_task("all", 0, features).network.eval()
    detector = model.detector({"all": network}, prepared.networks, prepared.recipe, features)
    banks = [name for name, _ in detector.named_buffers() if name.endswith(".bank")]
    sizes = {len(detector.get_buffer(name)) for name in banks}
    # The feature groups and the embeddings of two networks, each with two scores.
    untrained = len(FEATURE_GROUP_NAMES) + len(FINER_VIEW_NAMES) + len(MOVING_VIEW_NAMES)
    assert len(banks) == 4 * (2 * (untrained + 2) if views else 2)
    lent = 2 if views else 1  # so few clips borrow from the machine's other id
    assert sizes == {lent * len(target.clips) for target in prepared.targets}


def test_an_embedding_is_no_louder_than_the_views_on_normal_sound_it_was_not_trained_on(
    tmp_path: Path,
) -> None:
    made = make_set(tmp_path / "set", ("fan", "pump"), ("00", "02"), clips=8)
    model = MODELS["spectral_adacos"]
    values = {"sample_rate_hz": RATE_HZ, **SETTINGS["spectral_adacos"]}
    prepared = prepare(model, open_dataset(made), SpectralAdacosRecipe(**values))
    features = FeatureCache(tmp_path / "cache")
    network = prepared.new_task("all", 0, features).network.eval()
    detector = model.detector({"all": network}, prepared.networks, prepared.recipe, features)
    assert isinstance(detector, BesideDetector)
    squares: dict[str, list[torch.Tensor]] = defaultdict(list)
    for place, target in enumerate(prepared.networks["all"]):
        sound = [read_recording(clip.path, RATE_HZ) for clip in target.held_out]
        size = prepared.recipe.window_samples
        windows = torch.from_numpy(np.concatenate([clip_windows(s, size, size) for s in sound]))
        fusion = detector.fusions[place]
        with torch.no_grad():
            scores = detector.scorers[place](detector.front(windows))
        squares[target.machine].append(((scores - fusion.centre) * fusion.inverse_scale).square())
    for machine in squares.values():
        assert torch.cat(machine).mean(0)[-2:].sqrt().max() < 1.001


def test_windows_that_are_all_the_same_are_one_cluster_without_a_warning() -> None:
    clusters = pseudo_labels.cluster(torch.ones(30, 6) * 0.1)
    assert clusters.tolist() == [0] * 30
