"""A synthetic set of each year goes through `download`, `compare`, `replay` and `evaluate`."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from asd_monitor.commands.evaluate import evaluate
from asd_monitor.progress import NoProgress
from asd_offline.comparison import CompareSettings, compare
from asd_offline.datasets import CHALLENGES, open_dataset
from asd_offline.datasets.challenge import SetName
from asd_offline.datasets.download.download import download
from asd_offline.replay import ReplaySettings, replay
from asd_offline.synth.challenge_set import ChallengeSetSettings, make_challenge_set
from tests.offline.zenodo_server import RecordServer, serving, zipped

BOTH: tuple[SetName, ...] = ("dev", "eval")
MACHINES = {
    2024: ("gearbox", "AirCompressor", "RoboticArm"),
    2025: ("bearing", "Polisher"),
    2026: ("fan", "ToothBrush"),
}
TWFR = "model: twfr_gmm\nn_fft: 512\nhop_length: 256\nn_mels: 16\n"


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
                and (archives.subset == "dev" or (path.parent.name == "test") == is_test)
            }
            server.add(archives.record, archives.file_name(machine), zipped(members))


@pytest.mark.parametrize("year", MACHINES)
def test_a_synthetic_set_of_the_year_goes_through_every_command(tmp_path: Path, year: int) -> None:
    made, data, out = tmp_path / "made", tmp_path / "data", tmp_path / "out"
    settings = ChallengeSetSettings(year, BOTH, MACHINES[year], 6, test_clips=2, clip_s=1.0)
    make_challenge_set(made, settings, NoProgress())
    with serving() as server:
        publish(server, made, year)
        download(year, data, NoProgress(), machines=MACHINES[year], subsets=BOTH, server=server.url)
    truth = made / "ground_truth"
    dataset = open_dataset(data, ground_truth=truth)
    assert (dataset.year, dataset.sets, dataset.rejected, dataset.notes) == (year, BOTH, (), ())
    assert all(clip.label is not None and clip.domain for clip in dataset.clips)
    assert bool(dataset.supplemental) == (year == 2025)

    recipes = tmp_path / "recipes"
    recipes.mkdir()
    (recipes / "twfr_gmm.yaml").write_text(TWFR)
    compared = compare(
        CompareSettings(
            data,
            tmp_path / "compared",
            tmp_path / "cache",
            ("twfr_gmm",),
            seeds=1,
            ground_truth=truth,
            recipes=recipes,
            jobs=1,
        ),
        NoProgress(),
    )
    assert not compared.failures
    [model] = (tmp_path / "compared").rglob("*.asd")

    replayed = replay(
        ReplaySettings(data, subset="eval", model=str(model), ground_truth=truth, out=out, jobs=1)
    )
    app = typer.Typer()
    app.command()(evaluate)
    arguments = [str(out), "--year", str(year), "--ground-truth", str(truth), "--json"]
    document = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert document["partial_score"] == pytest.approx(replayed.challenge.partial_score, abs=1e-12)
    assert set(document["machines"]) == set(MACHINES[year]) & set(CHALLENGES[year].sets["eval"])
