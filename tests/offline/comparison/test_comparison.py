"""Comparison of models, trained on one-second clips."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asd_monitor.errors import ConfigError, DatasetError, RunError
from asd_monitor.progress import NoProgress
from asd_offline.comparison import compare
from asd_offline.comparison.candidates import DEFAULT_MODELS, choose_candidates, resolve_models
from asd_offline.comparison.run_result import OVERALL
from asd_offline.datasets import open_dataset
from asd_offline.leaderboard.documents import read_document
from asd_offline.leaderboard.merge import merge
from asd_offline.leaderboard.page import render_page as render_board_page
from asd_offline.models import MODELS
from asd_offline.replay import ReplaySettings, replay
from tests.offline.compared_models import (
    TWFR,
    Compared,
    RecordedProgress,
    compare_settings,
    write_recipes,
)
from tests.offline.small_sounds import make_set


def test_each_metric_is_that_of_a_replay_of_the_exported_file(compared: Compared) -> None:
    folder, model = compared.folder, compared.comparison.models[0]
    replayed = [
        replay(
            ReplaySettings(
                folder / "set", model=str(run.folder / "model.asd"), work=folder / "work", jobs=1
            )
        ).challenge
        for run in model.runs
    ]
    assert [run.seed for run in model.runs] == [0, 1]
    for index, machine in enumerate(("fan", "pump")):
        values = model.metrics[machine, "auc"].values
        assert values == tuple(result.machines[index].means.arithmetic.auc for result in replayed)
    scores = tuple(result.partial_score for result in replayed)
    assert model.metrics[OVERALL, "score"].values == scores


def test_mean_and_spread_are_those_over_seeds(compared: Compared) -> None:
    for seeds in compared.comparison.models[0].metrics.values():
        assert len(seeds.values) == 2
        assert seeds.mean == pytest.approx(np.mean(seeds.values))
        assert seeds.spread == pytest.approx(np.std(seeds.values, ddof=1))


def test_a_deterministic_model_runs_once_and_that_is_reported(compared: Compared) -> None:
    model = compared.comparison.models[1]
    assert [run.seed for run in model.runs] == [0]
    assert model.metrics["fan", "auc"].spread == 0.0
    message = next(text for text in compared.progress.messages if text.startswith("twfr_gmm"))
    assert "runs once" in message
    assert "recipes/twfr_gmm.yaml" in message


def test_costs_are_measured(compared: Compared) -> None:
    network, mixture = compared.comparison.models
    assert network.results[0].parameters > 0
    assert network.results[0].window_s == pytest.approx(1.0)
    assert network.results[0].training_s > 0
    assert mixture.training is None
    assert all(model.cost and model.cost.milliseconds > 0 for model in (network, mixture))
    parities = [result.parity for result in network.results]
    assert all(parity is not None and parity <= 1e-5 for parity in parities)


def test_a_model_that_does_not_suit_the_data_fails_only_if_it_was_requested(
    compared: Compared, tmp_path: Path
) -> None:
    compared.copy_to(tmp_path)
    (tmp_path / "recipes/mobilenetv2.yaml").write_text("model: mobilenetv2\nepochs: 1\n")
    settings = compare_settings(tmp_path, models=("mobilenetv2",), seeds=1)
    comparison = compare(settings, NoProgress())
    assert comparison.failures == ["mobilenetv2"]
    model = comparison.models[0]
    assert "id_00; leave it out with --machine" in model.remarks()[0]
    not_requested = replace(model, candidate=replace(model.candidate, requested=False))
    assert not not_requested.failed
    assert not_requested.remarks()[0] == model.remarks()[0].replace("failed:", "left out:")


def test_an_unknown_model_is_reported_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"no model 'autoencodr'; did you mean 'autoencoder'\?"):
        resolve_models(("twfr_gmm", "autoencodr"))
    assert resolve_models(()) == (DEFAULT_MODELS, False)
    assert resolve_models(("all",)) == (("quickstart", *MODELS), False)


def test_all_leaves_out_models_that_need_a_file_and_reports_the_recipes(
    compared: Compared,
) -> None:
    recipes = compared.folder / "recipes"
    dataset = open_dataset(compared.folder / "set")
    candidates = choose_candidates(("all",), dataset, recipes=recipes, seeds=3)
    by_name = {candidate.model: candidate for candidate in candidates}
    assert set(by_name) == {"quickstart", *MODELS}
    assert "its recipe needs a value for checkpoint" in by_name["pretrained"].describe()
    assert "published defaults" in by_name["spectral_adacos"].describe()
    assert by_name["spectral_adacos"].seeds == (0, 1, 2)
    assert by_name["autoencoder"].recipe_source == f"recipe {recipes / 'autoencoder.yaml'}"
    with pytest.raises(ConfigError, match="checkpoint: this key is required"):
        choose_candidates(("pretrained",), dataset)


def write_configs(folder: Path) -> list[Path]:
    configs = [folder / "coarse.yaml", folder / "fine.yaml"]
    for config, n_mels in zip(configs, (8, 16), strict=True):
        config.write_text(TWFR.replace("n_mels: 16", f"n_mels: {n_mels}"))
    return configs


def test_several_recipes_of_one_model_are_compared_under_the_names_of_their_files(
    compared: Compared, tmp_path: Path
) -> None:
    compared.copy_to(tmp_path)
    configs = write_configs(tmp_path)
    progress = RecordedProgress()
    settings = compare_settings(tmp_path, models=("twfr_gmm",), configs=tuple(configs))
    comparison = compare(settings, progress)
    assert progress.finished_runs == [("coarse", 0), ("fine", 0)]
    assert [model.candidate.name for model in comparison.models] == ["twfr_gmm", "coarse", "fine"]
    known, coarse, fine = comparison.models
    assert fine.metrics == known.metrics
    recipe, cost = coarse.candidate.recipe, coarse.cost
    assert recipe is not None
    assert recipe.model_dump()["n_mels"] == 8
    assert cost is not None
    assert cost != known.cost
    document = json.loads((tmp_path / "out/result.json").read_text())
    names = [(model["name"], model["model"]) for model in document["models"]]
    assert names == [("twfr_gmm",) * 2, ("coarse", "twfr_gmm"), ("fine", "twfr_gmm")]
    assert "coarse,twfr_gmm,0,fan," in (tmp_path / "out/result.csv").read_text()
    page = render_board_page(merge([(tmp_path / "out", read_document(tmp_path / "out"))]))
    assert "`twfr_gmm` (`coarse`)" in page


def test_recipes_without_a_model_or_with_the_same_name_are_refused(
    compared: Compared, tmp_path: Path
) -> None:
    dataset = open_dataset(compared.folder / "set")
    coarse, fine = write_configs(tmp_path)
    alone = choose_candidates((), dataset, configs=(coarse, fine), seeds=4)
    assert [(each.name, each.model, each.seeds) for each in alone] == [
        ("coarse", "twfr_gmm", (0,)),
        ("fine", "twfr_gmm", (0,)),
    ]
    with pytest.raises(ConfigError, match=r"the name 'fine' occurs 2 times.*rename one of them"):
        choose_candidates((), dataset, configs=(fine, fine))
    spaced = coarse.rename(tmp_path / "a b.yaml")
    with pytest.raises(ConfigError, match="expected a file name of letters, digits"):
        choose_candidates((), dataset, configs=(spaced,))
    fine.write_text("n_mels: 16\n")
    with pytest.raises(ConfigError, match=r"fine\.yaml: expected `model:` with one of autoencoder"):
        choose_candidates((), dataset, configs=(fine,))


def test_without_labels_nothing_is_trained(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "set")
    write_recipes(tmp_path / "recipes")
    for path in dataset.rglob("anomaly_*"):
        path.unlink()
    with pytest.raises(DatasetError, match=r"labelled test clips.*no section with both kinds"):
        compare(compare_settings(tmp_path), NoProgress())
    shutil.rmtree(dataset / "fan/test")
    with pytest.raises(DatasetError, match="found no test clips"):
        compare(compare_settings(tmp_path), NoProgress())
    assert not (tmp_path / "out").exists()


def test_an_empty_dataset_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    write_recipes(tmp_path / "recipes")
    with pytest.raises(DatasetError):
        compare(compare_settings(tmp_path), NoProgress())


def test_a_folder_with_other_files_is_not_written_to(tmp_path: Path) -> None:
    make_set(tmp_path / "set")
    write_recipes(tmp_path / "recipes")
    foreign = tmp_path / "out" / "report.html"
    foreign.parent.mkdir()
    foreign.write_text("mine")
    with pytest.raises(RunError, match="expected a new or empty folder, or one of an earlier"):
        compare(compare_settings(tmp_path), NoProgress())
    assert [*foreign.parent.iterdir()] == [foreign]
    assert foreign.read_text() == "mine"
