"""Comparison of models: trained for real, on one-second clips."""

import io
import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import asd_monitor.cli as cli
from asd_monitor.commands import compare as compare_command
from asd_monitor.errors import ConfigError, DatasetError, RunError
from asd_offline.comparison import CompareSettings, Comparison, compare
from asd_offline.comparison.entries import DEFAULT, choose_entries, wanted_models
from asd_offline.comparison.job import CompareJob, Data
from asd_offline.comparison.layout import Column, Entered, padded
from asd_offline.comparison.outcome import OVERALL, Outcome, read_outcome
from asd_offline.comparison.summary import Cell, clearly_best
from asd_offline.comparison.terminal import tables
from asd_offline.datasets import open_dataset
from asd_offline.models import MODELS
from asd_offline.replay import ReplaySettings, replay
from asd_offline.replay.pool import Stopped
from tests.offline.small_sounds import RATE_HZ, make_set, write_recipe

ENTRY = "import sys; from asd_monitor.cli import main; sys.argv[0] = 'asd-monitor'; main()"
TWFR = f"model: twfr_gmm\nsample_rate_hz: {RATE_HZ}\nn_fft: 256\nhop_length: 128\nn_mels: 16\n"
TWO = ("autoencoder", "twfr_gmm")


class Told:
    """Remembers what a comparison says."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.outcomes: list[Outcome] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, done: float, whole: float) -> None:
        assert 0 <= done <= whole + 1e-9

    def finished(self, outcome: Outcome, done: int, whole: int) -> None:
        self.outcomes.append(outcome)


def recipes(folder: Path, **changes: object) -> Path:
    folder.mkdir(parents=True)
    write_recipe(folder / "autoencoder.yaml", **({"epochs": 2} | changes))
    (folder / "twfr_gmm.yaml").write_text(TWFR)
    return folder


def settings(tmp_path: Path, **changes: object) -> CompareSettings:
    values: dict[str, object] = {
        "dataset": tmp_path / "set",
        "out": tmp_path / "out",
        "cache": tmp_path / "cache",
        "models": TWO,
        "recipes": tmp_path / "recipes",
        "seeds": 2,
        "jobs": 1,
    }
    return CompareSettings(**(values | changes))  # type: ignore[arg-type]


Compared = tuple[Path, Comparison, Told]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """Two models on two machines with two seeds; tests must not change the folder."""
    folder = tmp_path_factory.mktemp("compared")
    make_set(folder / "set", ("fan", "pump"), ("00",), clips=8)
    recipes(folder / "recipes")
    told = Told()
    return folder, compare(settings(folder), told), told


def copied(compared: Compared, to: Path) -> None:
    shutil.copytree(compared[0], to, dirs_exist_ok=True)


def test_each_figure_is_what_replay_says_of_the_exported_file(compared: Compared) -> None:
    folder, comparison, _ = compared
    row = comparison.rows[0]
    again = [
        replay(
            ReplaySettings(
                folder / "set", model=str(ran.folder / "model.pt"), work=folder / "work", jobs=1
            )
        ).result
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


def test_the_same_call_again_repeats_nothing(compared: Compared, tmp_path: Path) -> None:
    copied(compared, tmp_path)
    shutil.copystat(compared[0] / "set", tmp_path / "set")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/runs").rglob("*")}
    told = Told()
    again = compare(settings(tmp_path), told)
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/runs").rglob("*")}
    assert after == before
    assert told.outcomes == []
    assert "3 of 3 runs are there already" in told.notes
    assert again.rows[0].cells == compared[1].rows[0].cells


def test_another_seed_adds_to_those_that_are_there(compared: Compared, tmp_path: Path) -> None:
    copied(compared, tmp_path)
    told = Told()
    comparison = compare(settings(tmp_path, seeds=3), told)
    assert [(each.model, each.seed) for each in told.outcomes] == [("autoencoder", 2)]
    assert len(comparison.rows[0].cells["fan", "auc"].values) == 3


def test_another_recipe_is_another_run(compared: Compared, tmp_path: Path) -> None:
    copied(compared, tmp_path)
    told = Told()
    compare(settings(tmp_path, models=("autoencoder",), epochs=1, seeds=1), told)
    assert [(each.model, each.seed) for each in told.outcomes] == [("autoencoder", 0)]
    folders = [path.name for path in (tmp_path / "out/runs").glob("autoencoder-seed0-*")]
    assert len(folders) == 2


def job_of(folder: Path, comparison: Comparison) -> CompareJob:
    row = comparison.rows[0]
    assert row.entry.recipe is not None
    data = Data(folder / "set", None, (), None, ("fan/id_00",), folder / "cache", "auto")
    recipe = row.entry.recipe.model_dump_json()
    return CompareJob("autoencoder", 0, recipe, 2, data, folder / "job", report=False)


def test_a_stopped_run_goes_on_where_it_was(compared: Compared, tmp_path: Path) -> None:
    copied(compared, tmp_path)
    job, done = job_of(tmp_path, compared[1]), 0.0

    def stop_in_the_second_network(step: float) -> None:
        nonlocal done
        done += step
        if done > 0.45:
            raise Stopped

    with pytest.raises(Stopped):
        job.run(stop_in_the_second_network)
    assert not job.result.exists()
    metrics = job.folder / "training/metrics.jsonl"
    fan = [line for line in metrics.read_text().splitlines() if '"network": "fan"' in line]
    assert len(fan) == 2
    job.run(lambda step: None)
    assert [line for line in metrics.read_text().splitlines() if '"fan"' in line] == fan
    found = read_outcome(job.result)
    assert found is not None
    assert found.figures == compared[1].rows[0].good[0].figures


def test_one_that_fails_does_not_stop_the_others_and_is_tried_again(
    compared: Compared, tmp_path: Path
) -> None:
    copied(compared, tmp_path)
    shutil.rmtree(tmp_path / "recipes")
    recipes(tmp_path / "recipes", window_s=5.0)
    told = Told()
    comparison = compare(settings(tmp_path, seeds=1), told)
    assert comparison.failures == ["autoencoder"]
    assert "lasts 1 s, the recipe's window 5 s" in comparison.rows[0].remarks()[0]
    assert comparison.rows[1].cells["fan", "auc"] == compared[1].rows[1].cells["fan", "auc"]
    again = Told()
    compare(settings(tmp_path, seeds=1), again)
    assert [each.model for each in again.outcomes] == ["autoencoder"]


def test_a_model_that_is_not_for_such_data_is_left_out_of_all_with_its_reason(
    compared: Compared, tmp_path: Path
) -> None:
    copied(compared, tmp_path)
    (tmp_path / "recipes/mobilenetv2.yaml").write_text("model: mobilenetv2\nepochs: 1\n")
    asked = settings(tmp_path, models=("mobilenetv2",), seeds=1)
    comparison = compare(asked, Told())
    assert comparison.failures == ["mobilenetv2"]
    row = comparison.rows[0]
    assert "has only fan/id_00" in row.remarks()[0]
    of_all = replace(row, entry=replace(row.entry, demanded=False))
    assert not of_all.failed
    assert of_all.remarks()[0].startswith("left out: mobilenetv2 tells")


def test_a_full_disk_stops_at_once_and_keeps_what_was_done(
    compared: Compared, tmp_path: Path
) -> None:
    copied(compared, tmp_path)
    ran = next((tmp_path / "out/runs").glob("autoencoder-seed0-*"))
    (ran / "result.json").unlink()
    (ran / "recipe.yaml").unlink()
    (ran / "recipe.yaml").symlink_to("/dev/full")
    told = Told()
    with pytest.raises(RunError, match=r"No space left.*free space and run the same command again"):
        compare(settings(tmp_path), told)
    assert told.outcomes == []
    assert len(list((tmp_path / "out/runs").glob("*/result.json"))) == 2


def test_files_are_written(compared: Compared) -> None:
    folder, comparison, _ = compared
    out = folder / "out"
    document = json.loads((out / "result.json").read_text())
    assert document == json.loads(json.dumps(comparison.to_json()))
    rows = (out / "result.csv").read_text().splitlines()
    assert rows[0] == "model,seed,machine,auc,pauc,score"
    assert len(rows) == 1 + 3 * 3
    table = (out / "table.md").read_text().splitlines()
    assert table[0].startswith("| model | fan | pump | mean AUC | mean pAUC | score |")
    assert len({line.count("|") for line in table[:4]}) == 1
    page = (out / "report.html").read_text()
    assert page.count("<svg") == 3  # fan, pump, cost
    links = re.findall(r'href="(.*?)"', page)
    assert len(links) == 2
    assert all((out / link).exists() for link in links)


def test_the_table_is_never_wider_than_the_terminal(compared: Compared) -> None:
    from rich.console import Console

    comparison = compared[1]
    for width in (60, 80, 100, 200):
        console = Console(width=width, record=True, file=io.StringIO())
        parts = list(tables(comparison, width))
        for part in parts:
            console.print(part)
        text = console.export_text()
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text
        assert text.count("mean AUC") == 1
        assert len(parts) == (1 if width == 200 else len(parts))


def test_a_model_that_lacks_a_section_has_no_mean_over_other_sound(compared: Compared) -> None:
    row = compared[1].rows[0]
    first = row.ran[0].outcome
    assert first is not None
    lacking = replace(first, lacking={"pump/id_00": "no scores"})
    short = replace(row, ran=(replace(row.ran[0], outcome=lacking),))
    assert ("fan", "auc") in short.cells
    assert ("pump", "auc") not in short.cells
    assert (OVERALL, "auc") not in short.cells
    assert "no figures for pump/id_00: no scores" in short.remarks()


auc = st.floats(0, 1)
cells = st.builds(Cell, st.lists(auc, min_size=2, max_size=5).map(tuple))


@given(st.dictionaries(st.sampled_from("abcdef"), cells, min_size=2))
def test_clearly_best_is_ahead_of_every_other_by_more_than_the_spread(
    column: dict[str, Cell],
) -> None:
    best = clearly_best(column)
    leads = {
        (one, other): column[one].mean
        - column[other].mean
        - (statistics.variance(column[one].values) + statistics.variance(column[other].values))
        ** 0.5
        for one in column
        for other in column
        if one != other
    }
    ahead = [one for one in column if all(leads[pair] > 1e-12 for pair in leads if pair[0] == one)]
    near = any(abs(lead) <= 1e-12 for lead in leads.values())
    assert near or best == (ahead[0] if ahead else None)


def test_nobody_is_clearly_best_where_a_spread_is_not_known_or_there_is_one_model() -> None:
    sure, single, exact = Cell((0.9, 0.92)), Cell((0.5,)), Cell((0.5,), exact=True)
    assert clearly_best({"a": sure}) is None
    assert clearly_best({"a": sure, "b": single}) is None
    assert clearly_best({"a": Cell((0.9,), exact=True), "b": exact}) is None


def test_without_chance_a_lead_counts_only_beyond_the_spread_of_the_others() -> None:
    trained, exact = Cell((0.50, 0.52)), Cell((0.9,), exact=True)
    assert clearly_best({"a": exact, "b": trained}) == "a"
    near = Cell((0.895,), exact=True)
    assert clearly_best({"a": exact, "b": near, "c": trained}) is None
    far = Cell((0.87,), exact=True)
    assert clearly_best({"a": exact, "b": far, "c": trained}) == "a"


def test_the_best_has_a_star_and_means_stand_below_each_other() -> None:
    column = Column("AUC", (Entered("0.853 ±0.012", best=True), Entered("0.760")), left=True)
    assert padded(column) == ["0.853*±0.012", "0.760       "]


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


def invoke(*arguments: object) -> tuple[int, str, BaseException | None]:
    app = typer.Typer()
    app.command("compare")(compare_command.compare)
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    return result.exit_code, result.stdout, result.exception


def shared(folder: Path) -> list[object]:
    names = [f"--{name}={folder / name}" for name in ("out", "cache", "recipes")]
    return [folder / "set", "--models", ",".join(TWO), "--seeds=2", "--jobs=1", *names]


def test_the_command_prints_the_table_or_one_json_document(
    compared: Compared, tmp_path: Path
) -> None:
    copied(compared, tmp_path)
    code, output, error = invoke(*shared(tmp_path))
    assert code == 0, error
    lines = output.splitlines()
    assert lines[0].split()[:3] == ["model", "fan", "pump"]
    assert lines[2].startswith("autoencoder")
    code, output, error = invoke(*shared(tmp_path), "--json")
    assert code == 0, error
    document = json.loads(output)
    assert [each["model"] for each in document["models"]] == list(TWO)
    assert document["models"][0]["figures"]["fan"]["auc"]["values"] == list(
        compared[1].rows[0].cells["fan", "auc"].values
    )
    assert "compare" in cli.COMMANDS


def test_a_failure_is_shown_and_then_the_exit_code(compared: Compared, tmp_path: Path) -> None:
    copied(compared, tmp_path)
    write_recipe(tmp_path / "recipes/autoencoder.yaml", window_s=5.0)
    _, output, error = invoke(*shared(tmp_path))
    assert isinstance(error, RunError)
    assert "autoencoder: failed: " in output
    assert output.splitlines()[3].startswith("twfr_gmm")


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(tmp_path: Path) -> None:
    make_set(tmp_path / "set")
    recipes(tmp_path / "recipes", epochs=100_000)
    arguments = [*shared(tmp_path), "--jobs=2"]
    started = subprocess.Popen(
        [sys.executable, "-c", ENTRY, "compare", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 150

    def under_way() -> bool:
        runs = tmp_path / "out/runs"
        finished = list(runs.glob("twfr_gmm-*/result.json"))
        return bool(finished) and any(runs.glob("autoencoder-*/training/metrics.jsonl"))

    while not under_way() and started.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    _, told = started.communicate(timeout=60)
    assert started.returncode == 130, told
    assert f"stopped; what is in {tmp_path / 'out'} is kept: the same command goes on" in told
    assert list((tmp_path / "out/runs").glob("twfr_gmm-*/result.json"))


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
