"""A synthetic set of each year, with its oddities, goes through every command."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from asd_monitor.cli import create_app
from asd_offline.datasets import CHALLENGES, open_dataset
from tests.offline.zenodo_server import RecordServer, serving, zipped

MACHINES = {
    2020: ("fan",),
    2021: ("fan",),
    2022: ("fan",),
    2023: ("fan", "Vacuum"),
    2024: ("gearbox", "AirCompressor", "RoboticArm"),
    2025: ("bearing", "Polisher"),
    2026: ("fan", "ToothBrush"),
}
SECTIONS = ("id_00", "id_01", "section_00", "section_03")
"""One section of each set, as far as a year has several; the others would only take time."""
BASELINE = {2020: "autoencoder", 2021: "autoencoder", 2022: "autoencoder"}
"""Model of the organisers' baseline; since 2023 ``autoencoder_mahalanobis``."""
SMALL = "n_fft: 512\nhop_length: 256\nn_mels: 16\n"
TRAINED = SMALL + "hidden: 16\nbottleneck: 4\nepochs: 1\n"


def publish(server: RecordServer, made: Path, year: int) -> None:
    """Serve a generated set as the archives of the year."""
    for archives in CHALLENGES[year].archives:
        server.records.setdefault(archives.record, [])
        for machine in MACHINES[year]:
            folder = made / f"{archives.subset}_data"
            if machine not in CHALLENGES[year].sets[archives.subset]:
                continue
            is_test = archives.title.startswith("evaluation")
            members = {
                str(path.relative_to(folder)): path.read_bytes()
                for path in sorted((folder / machine).rglob("*"))
                if path.is_file()
                and (path.suffix == ".csv" or any(name in path.name for name in SECTIONS))
                and (archives.subset == "dev" or path.parent.name.endswith("test") == is_test)
            }
            server.add(archives.record, archives.file_name(machine), zipped(members))


def run(*arguments: object) -> Any:  # noqa: ANN401
    """Run a command; return its JSON document, if it has printed one."""
    result = CliRunner().invoke(create_app(), [*map(str, arguments)])
    assert result.exception is None, (arguments[0], result.exception, result.output)
    return json.loads(result.stdout) if "--json" in arguments else result.stdout


def write_recipes(folder: Path, baseline: str) -> Path:
    folder.mkdir()
    (folder / "twfr_gmm.yaml").write_text(f"model: twfr_gmm\n{SMALL}")
    (folder / f"{baseline}.yaml").write_text(f"model: {baseline}\n{TRAINED}")
    return folder


@pytest.mark.parametrize("year", MACHINES)
def test_a_synthetic_set_of_the_year_goes_through_every_command(tmp_path: Path, year: int) -> None:
    made, data, truth = tmp_path / "made", tmp_path / "data", tmp_path / "made/ground_truth"
    both = ["--year", year, "--set", "both", "--machines", ",".join(MACHINES[year])]
    run("synth", made, *both, "--clips", 8, "--test-clips", 2, "--clip-s", 1)
    with serving() as server:
        publish(server, made, year)
        run("download", data, *both, "--server", server.url)
    dataset = open_dataset(data, ground_truth=truth)
    assert (dataset.year, dataset.sets) == (year, ("dev", "eval"))
    assert (dataset.rejected, dataset.notes) == ((), ())
    assert all(clip.label is not None for clip in dataset.clips)
    assert all(bool(clip.domain) == bool(CHALLENGES[year].domains) for clip in dataset.clips)
    assert bool(dataset.supplemental) == (year == 2025)

    baseline = BASELINE.get(year, "autoencoder_mahalanobis")
    recipes = write_recipes(tmp_path / "recipes", baseline)
    cache = ["--cache", tmp_path / "cache", "--device", "cpu"]
    trained, replayed = tmp_path / "trained", tmp_path / "replayed"
    run("train", baseline, data, "--config", recipes / f"{baseline}.yaml", "--out", trained, *cache)
    labels = ["--ground-truth", truth, "--json"]
    scored = run("replay", data, "--set", "eval", "--model", trained, "--out", replayed, "--jobs",
                 1, "--device", "cpu", *labels)  # fmt: skip
    evaluated = run("evaluate", replayed, "--year", year, *labels)
    assert set(evaluated["machines"]) == set(MACHINES[year]) & set(CHALLENGES[year].sets["eval"])
    for key in ("partial_score", "official_score"):
        assert evaluated[key] == pytest.approx(scored[key], abs=1e-12)

    jobs = ["--models", "twfr_gmm", "--recipes", recipes, "--jobs", 1, *cache]
    compared = run("compare", data, "--seeds", 1, "--out", tmp_path / "compared", *jobs, *labels)
    assert (set(compared["machines"]), compared["failed"]) == (set(MACHINES[year]), [])
    tuned = run("tune", data, "--folds", 2, "--machine", MACHINES[year][-1], "--out",
                tmp_path / "tuned", *jobs, "--json")  # fmt: skip
    assert tuned["chosen"] == "twfr_gmm"
    assert tuned["machines"] == [MACHINES[year][-1]]
    page = run("leaderboard", tmp_path / "compared")
    assert f"rules of DCASE {year}," in " ".join(page.split())
    assert "| 1 | `twfr_gmm` |" in page
