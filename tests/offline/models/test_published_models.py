"""The published models from training to model file: resuming, scores, evidence, recipes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from asd_monitor.errors import ConfigError
from asd_monitor.model_file import load, script
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_offline.datasets.loading import open_dataset
from asd_offline.export.export import export
from asd_offline.export.oracle import rank_scores
from asd_offline.features.cache import FeatureCache
from asd_offline.models import MODELS
from asd_offline.models.aegan_ad.detector import AeganAdDetector
from asd_offline.models.aegan_ad.scores import SCORES
from asd_offline.models.mobilenetv2.detector import MobileNetV2Detector
from asd_offline.models.mobilenetv2.network import SectionClassifier
from asd_offline.models.protocol import DetectorModule
from asd_offline.recipes import read_recipe
from asd_offline.training.prepare import PreparedData, prepare
from asd_offline.training.run import train
from tests.offline.model_files import (
    MACHINES,
    MAX_PARITY,
    check_scores_are_finite_and_independent_of_the_batch,
    small_recipe,
    training_request,
)
from tests.offline.small_sounds import CPU, RATE_HZ, FakeProgress, hum, make_set
from tests.rig.paths import CONFIGS

RECIPES = CONFIGS / "train"
TRAINED = ("stgram_mfn", "anomaly_transformer", "mobilenetv2", "aegan_ad")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("dataset"), ("fan", "pump"), ("00", "04"), clips=6)


@pytest.fixture(scope="module", params=TRAINED)
def run(
    request: pytest.FixtureRequest, dataset: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """Train a model, stopped after its first epoch and resumed."""
    folder = tmp_path_factory.mktemp(request.param)
    training = training_request(folder, request.param, dataset)
    with pytest.raises(KeyboardInterrupt):
        train(training, CPU, FakeProgress(stop_at_epoch=1))
    train(replace(training, resume=True), CPU, FakeProgress())
    return request.param, folder


@pytest.fixture(scope="module")
def model_file(run: tuple[str, Path]) -> LoadedModel:
    _, folder = run
    exported = export(folder / "run", folder / "model.asd", folder / "cache")
    assert exported.parity <= MAX_PARITY
    return load(folder / "model.asd")


def test_stopped_and_resumed_training_gives_the_same_network(
    run: tuple[str, Path], dataset: Path, tmp_path: Path
) -> None:
    model, folder = run
    train(training_request(tmp_path, model, dataset), CPU, FakeProgress())
    compared = 0
    for uninterrupted in sorted((tmp_path / "run" / "networks").iterdir()):
        resumed = folder / "run" / "networks" / uninterrupted.name
        newest = [max(network.glob("epoch-*.pt")) for network in (uninterrupted, resumed)]
        weights, others = (torch.load(path, weights_only=True)["weights"] for path in newest)
        for name, weight in weights.items():
            assert torch.equal(weight, others[name]), name
            compared += 1
    assert compared > 10


def test_a_model_file_has_a_calibration_for_each_target(model_file: LoadedModel) -> None:
    machines = MACHINES.get(model_file.manifest.name, ("fan", "pump"))
    names = tuple(f"{machine}/{name}" for machine in machines for name in ("id_00", "id_04"))
    assert model_file.manifest.targets == names
    assert set(model_file.manifest.calibrations) == set(names)


def test_scores_are_finite_and_independent_of_the_batch(model_file: LoadedModel) -> None:
    check_scores_are_finite_and_independent_of_the_batch(model_file, atol=1e-4)


def test_the_evidence_of_each_window_is_finite_and_two_dimensional(model_file: LoadedModel) -> None:
    windows = np.stack([hum(7, 500.0), hum(8, 500.0)])[:, : model_file.manifest.window_samples]
    evidence = model_file.evidence(windows, np.array([0, 0]))
    assert evidence is not None
    assert evidence.ndim == 3
    assert evidence.shape[0] == 2
    assert min(evidence.shape[1:]) >= 2
    assert np.all(np.isfinite(evidence))
    assert "evidence" in model_file.manifest.description


@pytest.mark.parametrize(
    "path",
    [
        path
        for name in TRAINED
        for pattern in (f"{name}*/*.yaml", f"{name}.yaml")
        for path in sorted(CONFIGS.rglob(pattern))
    ],
    ids=lambda path: str(path.relative_to(CONFIGS)),
)
def test_every_recipe_is_valid(path: Path) -> None:
    model = yaml.safe_load(path.read_text())["model"]
    assert read_recipe(path, model, MODELS[model].recipe).model == model


@pytest.mark.parametrize("model", TRAINED)
def test_the_published_recipe_has_the_defaults(model: str) -> None:
    path = RECIPES / (f"{model}.yaml" if model != "aegan_ad" else "aegan_ad/dcase2020_fan.yaml")
    recipe_type = MODELS[model].recipe
    published, default = read_recipe(path, model, recipe_type), recipe_type(model=model)
    differing = {"window_s"} | ({"reference", "evidence"} if model == "aegan_ad" else set())
    assert published.model_dump(exclude=differing) == default.model_dump(exclude=differing)


SCORES_OF = {
    "stgram_mfn": ("log_probability_with_margin", "log_probability", "gmm", "neighbours"),
    "anomaly_transformer": (
        "association_mean",
        "association_max",
        "association_top",
        "error_mean",
        "error_max",
        "error_top",
    ),
    "aegan_ad": SCORES,
}
DEFAULTS = {
    "stgram_mfn": "neighbours",
    "anomaly_transformer": "error_mean",
    "aegan_ad": "d_knn",
}


def untrained_networks(
    model: str, dataset: Path, folder: Path
) -> tuple[dict[str, torch.nn.Module], PreparedData, FeatureCache]:
    recipe = read_recipe(small_recipe(folder, model), model, MODELS[model].recipe)
    prepared = prepare(MODELS[model], open_dataset(dataset), recipe)
    features = FeatureCache(folder / "cache")
    networks = {
        name: prepared.new_task(name, 0, features).network.eval() for name in prepared.networks
    }
    return networks, prepared, features


def untrained_detectors(
    model: str, dataset: Path, folder: Path, scores: Sequence[str]
) -> dict[str, DetectorModule]:
    """Return a detector of untrained networks for each score."""
    networks, prepared, features = untrained_networks(model, dataset, folder)
    with torch.no_grad():
        return {
            score: MODELS[model].detector(
                networks,
                prepared.networks,
                prepared.recipe.model_copy(update={"score": score}),
                features,
            )
            for score in scores
        }


@pytest.mark.parametrize("model", ["stgram_mfn", "anomaly_transformer"])
def test_every_score_can_be_scripted_and_all_differ(
    model: str, dataset: Path, tmp_path: Path
) -> None:
    detectors = untrained_detectors(model, dataset, tmp_path, SCORES_OF[model])
    waveform, target = torch.from_numpy(hum(7, 500.0))[None], torch.tensor([0])
    values = set()
    for score, detector in detectors.items():
        assert detector.describe()["score"] == score
        with torch.no_grad():
            eager = detector(waveform, target)
            torch.testing.assert_close(script(detector)(waveform, target), eager)
        values.add(float(eager))
    assert len(values) == len(SCORES_OF[model])


def test_a_trained_run_can_be_exported_with_another_score(dataset: Path, tmp_path: Path) -> None:
    training = training_request(tmp_path, "anomaly_transformer", dataset, epochs=1)
    train(training, CPU, FakeProgress())
    exported = export(training.out, tmp_path / "model.asd", training.cache, score="error_top")
    assert exported.manifest.description["score"] == "error_top"
    with pytest.raises(ConfigError, match=r"expected a score from .*got 'best'"):
        export(training.out, tmp_path / "no.asd", training.cache, score="best")


def test_the_oracle_ranks_every_score_of_each_machine_and_marks_the_recipes(
    run: tuple[str, Path],
) -> None:
    model, folder = run
    if model == "mobilenetv2":
        with pytest.raises(ConfigError, match="has one score only"):
            rank_scores(folder / "run", folder / "cache")
        return
    all_rows = rank_scores(folder / "run", folder / "cache")
    for machine in ("fan", "pump"):
        rows = [row for row in all_rows if row.machine == machine]
        assert sorted(row.score for row in rows) == sorted(SCORES_OF[model])
        assert [row.score for row in rows if row.default] == [DEFAULTS[model]]
        assert [row.mean for row in rows] == sorted((row.mean for row in rows), reverse=True)
        assert all(0.0 <= row.auc <= 1.0 for row in rows)


def test_a_single_id_is_scored_by_nearest_neighbours_which_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = make_set(tmp_path / "set", ("fan",), ("00",), clips=8)
    (detector,) = untrained_detectors(
        "stgram_mfn", dataset, tmp_path, ("log_probability",)
    ).values()
    assert "fan/id_00 is the only machine id" in caplog.text
    facts = detector.describe()
    assert facts["score"] == "neighbours"
    assert "only machine id" in str(facts["score_note"])


def test_mobilenetv2_refuses_a_machine_with_a_single_section(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "set", ("fan",), ("00",), clips=6)
    with pytest.raises(ConfigError, match="fan has only fan/id_00; leave it out with --machine"):
        train(training_request(tmp_path, "mobilenetv2", dataset), CPU, FakeProgress())


def test_the_mobilenetv2_score_is_the_mean_log_odds_against_the_section(
    dataset: Path, tmp_path: Path
) -> None:
    networks, prepared, features = untrained_networks("mobilenetv2", dataset, tmp_path)
    model = MODELS["mobilenetv2"]
    detector = model.detector(networks, prepared.networks, prepared.recipe, features)
    assert isinstance(detector, MobileNetV2Detector)
    pump = networks["pump"]
    assert isinstance(pump, SectionClassifier)
    waveform = torch.from_numpy(hum(1, 700.0))[None]
    with torch.no_grad():
        frames = detector.log_mel(waveform)
        starts = (0, 16, frames.shape[1] - 32)
        images = torch.cat([frames[:, start : start + 32] for start in starts])
        p = pump.network(images[:, None].expand(-1, 3, -1, -1)).softmax(1)[:, 1]
        score = detector(waveform, torch.tensor([3]))
    torch.testing.assert_close(score[0], ((1 - p).log() - p.log()).mean(), rtol=1e-4, atol=1e-4)


def test_aegan_computes_all_nineteen_scores_in_one_pass(dataset: Path, tmp_path: Path) -> None:
    detectors = untrained_detectors("aegan_ad", dataset, tmp_path, SCORES)
    waveform, target = torch.from_numpy(hum(1, 500.0))[None], torch.tensor([0])
    one_detector = detectors["d_knn"]
    assert isinstance(one_detector, AeganAdDetector)
    with torch.no_grad():
        separate = torch.cat([detector(waveform, target) for detector in detectors.values()])
        scores = one_detector.scores(waveform, target)
    torch.testing.assert_close(separate, scores[0], rtol=1e-5, atol=1e-5)


def test_aegan_localises_against_the_input_and_against_the_mean_normal_spectrogram(
    dataset: Path, tmp_path: Path
) -> None:
    detector = untrained_detectors("aegan_ad", dataset, tmp_path, ("d_knn",))["d_knn"]
    assert isinstance(detector, AeganAdDetector)
    waveform, target = torch.from_numpy(hum(1, 500.0))[None], torch.tensor([0])
    with torch.no_grad():
        from_input = detector.localise(waveform, target, True)
        from_mean = detector.localise(waveform, target, False)
    assert from_mean.shape == from_input.shape == (1, 128, RATE_HZ // 62 + 1)
    assert not torch.equal(from_mean, from_input)
