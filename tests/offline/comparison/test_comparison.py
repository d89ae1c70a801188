"""Comparison of models: trained for real, on one-second clips."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asd_monitor.errors import ConfigError, DatasetError, RunError
from asd_offline.comparison import compare
from asd_offline.comparison.candidates import DEFAULT, choose_entries, wanted_models
from asd_offline.comparison.run_result import OVERALL
from asd_offline.datasets import open_dataset
from asd_offline.models import MODELS
from asd_offline.replay import ReplaySettings, replay
from tests.offline.compared_models import Compared, Told, copied, recipes, settings
from tests.offline.small_sounds import make_set


def test_each_figure_is_what_replay_says_of_the_exported_file(compared: Compared) -> None:
    folder, comparison, _ = compared
    row = comparison.rows[0]
    again = [
        replay(
            ReplaySettings(
                folder / "set", model=str(ran.folder / "model.asd"), work=folder / "work", jobs=1
            )
        ).challenge
        for ran in row.ran
    ]
    assert [ran.seed for ran in row.ran] == [0, 1]
    for place, machine in enumerate(("fan", "pump")):
        found = row.cells[machine, "auc"].values
        assert found == tuple(each.machines[place].means.arithmetic.auc for each in again)
    assert row.cells[OVERALL, "score"].values == tuple(each.partial_score for each in again)


def test_mean_and_spread_are_those_over_seeds(compared: Compared) -> None:
    for cell in compared[1].rows[0].cells.values():
        assert len(cell.values) == 2
        assert cell.mean == pytest.approx(np.mean(cell.values))
        assert cell.spread == pytest.approx(np.std(cell.values, ddof=1))


def test_what_has_no_chance_in_it_runs_once_and_says_so(compared: Compared) -> None:
    _, comparison, told = compared
    assert [ran.seed for ran in comparison.rows[1].ran] == [0]
    assert comparison.rows[1].cells["fan", "auc"].spread == 0.0
    note = next(note for note in told.notes if note.startswith("twfr_gmm"))
    assert "runs once" in note
    assert "recipes/twfr_gmm.yaml" in note


def test_costs_are_there(compared: Compared) -> None:
    network, mixture = compared[1].rows
    assert network.good[0].parameters > 0
    assert network.good[0].window_s == pytest.approx(1.0)
    assert network.good[0].training_s > 0
    assert mixture.training is None
    assert all(row.speed and row.speed.milliseconds > 0 for row in (network, mixture))
    assert all(each.parity is not None and each.parity <= 1e-5 for each in network.good)


def test_a_model_that_is_not_for_such_data_is_left_out_of_all_with_its_reason(
    compared: Compared, tmp_path: Path
) -> None:
    copied(compared, tmp_path)
    (tmp_path / "recipes/mobilenetv2.yaml").write_text("model: mobilenetv2\nepochs: 1\n")
    asked = settings(tmp_path, models=("mobilenetv2",), seeds=1)
    comparison = compare(asked, Told())
    assert comparison.failures == ["mobilenetv2"]
    row = comparison.rows[0]
    assert "id_00; leave it out with --machine" in row.remarks()[0]
    of_all = replace(row, entry=replace(row.entry, demanded=False))
    assert not of_all.failed
    assert of_all.remarks()[0].startswith("left out: mobilenetv2 tells")


def test_an_unknown_model_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no model 'autoencodr'; did you mean 'autoencoder'\?"):
        wanted_models(("twfr_gmm", "autoencodr"))
    assert wanted_models(()) == (DEFAULT, False)
    assert wanted_models(("all",)) == (("quickstart", *MODELS), False)


def test_all_leaves_out_what_needs_a_file_and_says_which_recipes_are_used(
    compared: Compared,
) -> None:
    folder = compared[0]
    dataset = open_dataset(folder / "set")
    found = choose_entries(("all",), dataset, recipes=folder / "recipes", seeds=3)
    by_name = {each.model: each for each in found}
    assert set(by_name) == {"quickstart", *MODELS}
    assert "its recipe has to say checkpoint" in by_name["pretrained"].note()
    assert "published defaults" in by_name["spectral_adacos"].note()
    assert by_name["spectral_adacos"].seeds == (0, 1, 2)
    assert by_name["autoencoder"].source == f"recipe {folder / 'recipes/autoencoder.yaml'}"
    with pytest.raises(ConfigError, match="checkpoint: this key is needed"):
        choose_entries(("pretrained",), dataset)


def test_without_labels_nothing_is_trained(tmp_path: Path) -> None:
    made = make_set(tmp_path / "set")
    recipes(tmp_path / "recipes")
    for path in made.rglob("anomaly_*"):
        path.unlink()
    with pytest.raises(DatasetError, match=r"labelled test clips.*no section with both kinds"):
        compare(settings(tmp_path), Told())
    shutil.rmtree(made / "fan/test")
    with pytest.raises(DatasetError, match="found no test clips"):
        compare(settings(tmp_path), Told())
    assert not (tmp_path / "out").exists()


def test_an_empty_dataset_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    recipes(tmp_path / "recipes")
    with pytest.raises(DatasetError):
        compare(settings(tmp_path), Told())


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    make_set(tmp_path / "set")
    recipes(tmp_path / "recipes")
    own = tmp_path / "out" / "report.html"
    own.parent.mkdir()
    own.write_text("mine")
    with pytest.raises(RunError, match="expected a new or empty folder, or one of an earlier"):
        compare(settings(tmp_path), Told())
    assert [*own.parent.iterdir()] == [own]
    assert own.read_text() == "mine"
