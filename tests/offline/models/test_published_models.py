"""The published models end to end: trained, resumed, exported, scored, and what they look at."""

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
from asd_offline.export.oracle import oracle
from asd_offline.features.cache import FeatureCache
from asd_offline.models import MODELS
from asd_offline.models.aegan_ad.scores import SCORES
from asd_offline.recipes import read_recipe
from asd_offline.training.prepare import prepare
from asd_offline.training.run import TrainRequest, train
from tests.offline.small_sounds import CPU, RATE_HZ, FakeProgress, hum, make_set, request
from tests.rig.paths import CONFIGS

FRONT_END = {"n_fft": 256, "hop_length": 128, "n_mels": 32}
SETTINGS: dict[str, dict[str, object]] = {
    "stgram_mfn": {
        **FRONT_END,
        "epochs": 2,
        "constant_epochs": 1,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "score": "neighbours",
    },
    "anomaly_transformer": {
        **FRONT_END,
        "epochs": 3,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "segment_frames": 20,
        "train_hop_frames": 10,
        "score_hop_frames": 10,
        "dims": 16,
        "heads": 2,
        "layers": 2,
        "hidden": 16,
    },
    "mobilenetv2": {
        **FRONT_END,
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "segment_frames": 32,
        "train_hop_frames": 16,
        "score_hop_frames": 16,
        "batch_norm_momentum": 0.2,
    },
    "aegan_ad": {
        "n_fft": 256,
        "hop_length": 62,
        "epochs": 2,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "channels": 2,
        "code": 4,
        "score_hop_frames": 8,
        "score": "d_knn",
    },
}
MACHINES = {"mobilenetv2": ("fan",)}  # compiling its many layers takes long
RECIPES = CONFIGS / "train"


def recipe_file(folder: Path, model: str, **changes: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "model": model,
        "sample_rate_hz": RATE_HZ,
        "auc_interval_epochs": 0,
        **SETTINGS[model],
    }
    path = folder / f"{model}.yaml"
    path.write_text(yaml.safe_dump(values | changes))
    return path


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("sounds"), ("fan", "pump"), ("00", "04"), clips=6)


@pytest.fixture(scope="module", params=list(SETTINGS))
def run(
    request: pytest.FixtureRequest, sounds: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """Train a model, stopped after its first epoch and resumed."""
    folder = tmp_path_factory.mktemp(request.param)
    asked = asked_for(folder, request.param, sounds)
    with pytest.raises(KeyboardInterrupt):
        train(asked, CPU, FakeProgress(stop_at_epoch=1))
    train(replace(asked, resume=True), CPU, FakeProgress())
    return request.param, folder


def asked_for(folder: Path, model: str, sounds: Path, **changes: object) -> TrainRequest:
    recipe = recipe_file(folder, model, **changes)
    return request(folder, sounds, model=model, recipe=recipe, machines=MACHINES.get(model, ()))


@pytest.fixture(scope="module")
def scorer(run: tuple[str, Path]) -> LoadedModel:
    _, folder = run
    done = export(folder / "run", folder / "model.asd", folder / "cache")
    assert done.parity <= 1e-5
    return load(folder / "model.asd")


def test_stopped_and_resumed_training_gives_the_same_network(
    run: tuple[str, Path], sounds: Path, tmp_path: Path
) -> None:
    model, folder = run
    asked = asked_for(tmp_path, model, sounds)
    train(asked, CPU, FakeProgress())
    compared = 0
    for straight in sorted((tmp_path / "run" / "networks").iterdir()):
        resumed = folder / "run" / "networks" / straight.name
        newest = [max(each.glob("epoch-*.pt")) for each in (straight, resumed)]
        first, second = (torch.load(each, weights_only=True)["weights"] for each in newest)
        for name, weight in first.items():
            assert torch.equal(weight, second[name]), name
            compared += 1
    assert compared > 10


def test_a_model_file_has_a_calibration_for_each_target(scorer: LoadedModel) -> None:
    machines = MACHINES.get(scorer.manifest.name, ("fan", "pump"))
    names = tuple(f"{machine}/{each}" for machine in machines for each in ("id_00", "id_04"))
    assert scorer.manifest.targets == names
    assert set(scorer.manifest.calibrations) == set(names)


def test_scores_are_finite_on_silence_and_alike_alone_and_in_a_batch(scorer: LoadedModel) -> None:
    length = scorer.manifest.window_samples
    windows = np.stack([hum(7, 500.0), np.zeros(RATE_HZ, np.float32), hum(8, 760.0)])[:, :length]
    targets = np.array([0, 1, len(scorer.manifest.targets) - 1])
    together = scorer.score(windows, targets)
    alone = [scorer.score(windows[i : i + 1], targets[i : i + 1])[0] for i in range(3)]
    assert np.all(np.isfinite(together))
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-4)


def test_the_evidence_is_a_finite_picture_of_each_window(scorer: LoadedModel) -> None:
    windows = np.stack([hum(7, 500.0), hum(8, 500.0)])[:, : scorer.manifest.window_samples]
    evidence = scorer.evidence(windows, np.array([0, 0]))
    assert evidence is not None
    assert evidence.ndim == 3
    assert evidence.shape[0] == 2
    assert min(evidence.shape[1:]) >= 2
    assert np.all(np.isfinite(evidence))
    assert "evidence" in scorer.manifest.description


@pytest.mark.parametrize(
    "path",
    [each for name in SETTINGS for each in sorted(CONFIGS.rglob(f"{name}*/*.yaml"))]
    + [each for name in SETTINGS for each in sorted(CONFIGS.rglob(f"{name}.yaml"))],
    ids=lambda path: str(path.relative_to(CONFIGS)),
)
def test_every_recipe_is_valid(path: Path) -> None:
    model = yaml.safe_load(path.read_text())["model"]
    assert read_recipe(path, model, MODELS[model].recipe).model == model


@pytest.mark.parametrize("model", list(SETTINGS))
def test_the_published_recipe_holds_the_defaults(model: str) -> None:
    path = RECIPES / (f"{model}.yaml" if model != "aegan_ad" else "aegan_ad/dcase2020_fan.yaml")
    kind = MODELS[model].recipe
    loaded, default = read_recipe(path, model, kind), kind.model_validate({"model": model})
    stated = {"window_s"} | ({"reference", "evidence"} if model == "aegan_ad" else set())
    assert loaded.model_dump(exclude=stated) == default.model_dump(exclude=stated)


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


@pytest.mark.parametrize("model", ["stgram_mfn", "anomaly_transformer"])
def test_every_score_scripts_and_they_differ(model: str, sounds: Path, tmp_path: Path) -> None:
    detectors = untrained(model, sounds, tmp_path, SCORES_OF[model])
    waveform, target = torch.from_numpy(hum(7, 500.0))[None], torch.tensor([0])
    found = set()
    for score, detector in detectors.items():
        assert detector.describe()["score"] == score  # type: ignore[operator]
        with torch.no_grad():
            eager = detector(waveform, target)
            torch.testing.assert_close(script(detector)(waveform, target), eager)
        found.add(float(eager))
    assert len(found) == len(SCORES_OF[model])


def untrained(
    model: str, sounds: Path, folder: Path, scores: Sequence[str]
) -> dict[str, torch.nn.Module]:
    """Return a detector for each score, of networks that learned nothing."""
    kind = MODELS[model]
    recipe = read_recipe(recipe_file(folder, model), model, kind.recipe)
    prepared = prepare(kind, open_dataset(sounds), recipe)
    features = FeatureCache(folder / "cache")
    networks = {
        name: prepared.new_task(name, 0, features).network.eval() for name in prepared.networks
    }
    with torch.no_grad():
        return {
            score: kind.detector(
                networks,
                prepared.networks,
                prepared.recipe.model_copy(update={"score": score}),
                features,
            )
            for score in scores
        }


def test_a_trained_run_can_be_exported_with_another_score(sounds: Path, tmp_path: Path) -> None:
    asked = asked_for(tmp_path, "anomaly_transformer", sounds, epochs=1)
    train(asked, CPU, FakeProgress())
    done = export(asked.out, tmp_path / "model.asd", asked.cache, score="error_top")
    assert done.manifest.description["score"] == "error_top"
    with pytest.raises(ConfigError, match=r"expected a score from .*got 'best'"):
        export(asked.out, tmp_path / "no.asd", asked.cache, score="best")


def test_the_oracle_ranks_every_score_of_each_machine_and_marks_the_recipes_own(
    run: tuple[str, Path],
) -> None:
    model, folder = run
    if model == "mobilenetv2":
        with pytest.raises(ConfigError, match="has one score only"):
            oracle(folder / "run", folder / "cache")
        return
    rows = oracle(folder / "run", folder / "cache")
    for machine in ("fan", "pump"):
        own = [row for row in rows if row.machine == machine]
        assert sorted(row.score for row in own) == sorted(SCORES_OF[model])
        assert [row.score for row in own if row.default] == [DEFAULTS[model]]
        assert [row.mean for row in own] == sorted((row.mean for row in own), reverse=True)
        assert all(0.0 <= row.auc <= 1.0 for row in own)


def test_a_single_id_is_scored_by_its_neighbours_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = make_set(tmp_path / "set", ("fan",), ("00",), clips=8)
    detector = untrained("stgram_mfn", made, tmp_path, ("log_probability",))["log_probability"]
    assert "fan/id_00 is the only machine id" in caplog.text
    facts = detector.describe()  # type: ignore[operator]
    assert facts["score"] == "neighbours"
    assert "only machine id" in facts["score_note"]


def test_mobilenetv2_refuses_a_machine_with_a_single_section(tmp_path: Path) -> None:
    made = make_set(tmp_path / "set", ("fan",), ("00",), clips=6)
    with pytest.raises(ConfigError, match="fan has only fan/id_00; leave it out with --machine"):
        train(asked_for(tmp_path, "mobilenetv2", made), CPU, FakeProgress())


def test_the_mobilenetv2_score_is_the_mean_log_odds_against_the_own_section(
    sounds: Path, tmp_path: Path
) -> None:
    model = MODELS["mobilenetv2"]
    recipe = read_recipe(recipe_file(tmp_path, "mobilenetv2"), "mobilenetv2", model.recipe)
    prepared = prepare(model, open_dataset(sounds), recipe)
    features = FeatureCache(tmp_path / "cache")
    networks = {
        name: prepared.new_task(name, 0, features).network.eval() for name in prepared.networks
    }
    detector = model.detector(networks, prepared.networks, prepared.recipe, features)
    waveform = torch.from_numpy(hum(1, 700.0))[None]
    with torch.no_grad():
        rows = detector.log_mel(waveform)  # type: ignore[operator]
        starts = (0, 16, rows.shape[1] - 32)
        images = torch.cat([rows[:, start : start + 32] for start in starts])
        p = networks["pump"].network(images[:, None].expand(-1, 3, -1, -1)).softmax(1)[:, 1]
        score = detector(waveform, torch.tensor([3]))
    torch.testing.assert_close(score[0], ((1 - p).log() - p.log()).mean(), rtol=1e-4, atol=1e-4)


def test_aegan_gives_all_nineteen_scores_in_one_pass(sounds: Path, tmp_path: Path) -> None:
    detectors = untrained("aegan_ad", sounds, tmp_path, SCORES)
    waveform, target = torch.from_numpy(hum(1, 500.0))[None], torch.tensor([0])
    with torch.no_grad():
        found = torch.cat([each(waveform, target) for each in detectors.values()])
        every = detectors["d_knn"].scores(waveform, target)  # type: ignore[operator]
    torch.testing.assert_close(found, every[0], rtol=1e-5, atol=1e-5)


def test_aegan_localises_against_the_input_and_against_the_mean_normal_clip(
    sounds: Path, tmp_path: Path
) -> None:
    detector = untrained("aegan_ad", sounds, tmp_path, ("d_knn",))["d_knn"]
    waveform, target = torch.from_numpy(hum(1, 500.0))[None], torch.tensor([0])
    with torch.no_grad():
        plain = detector.localise(waveform, target, True)  # type: ignore[operator]
        published = detector.localise(waveform, target, False)  # type: ignore[operator]
    assert published.shape == plain.shape == (1, 128, RATE_HZ // 62 + 1)
    assert not torch.equal(published, plain)
