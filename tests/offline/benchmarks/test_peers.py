"""The comparison with the organisers' baseline, with a stand-in for its checkout."""

import argparse
import json
import sys
from pathlib import Path

import pytest

from asd_monitor.errors import RunError
from asd_offline.benchmarks import peers

STAND_IN = '''
"""A stand-in for the organisers' baseline: its options and folders, and no model."""
import argparse, pathlib, wave
parser = argparse.ArgumentParser()
for name in ("--dataset", "--dataset_directory", "--use_cuda", "--batch_size", "-tag"):
    parser.add_argument(name, required=True)
for name in ("-d", "--train_only", "--test_only"):
    parser.add_argument(name, action="store_true")
parser.add_argument("--epochs", type=int, default=1)
options = parser.parse_args()
machine = options.dataset.removeprefix("DCASE2023T2")
folder = pathlib.Path(options.dataset_directory, "dcase2023t2/dev_data/raw", machine)
clips = sorted((folder / ("train" if options.train_only else "test")).glob("*.wav"))
assert clips, folder
model = pathlib.Path(f"model-{options.tag}")
if options.train_only:
    model.touch()
else:
    assert model.exists()
for clip in clips * options.epochs:
    sum(wave.open(str(clip)).readframes(20_000))
'''


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "stand_in"
    folder.mkdir()
    (folder / "train.py").write_text(STAND_IN)
    return folder


def test_the_baseline_trains_and_scores_in_a_copy_of_its_checkout(
    checkout: Path, tmp_path: Path
) -> None:
    from asd_offline.benchmarks.training import make_clips

    clips = make_clips(tmp_path / "clips", 1) / "fan"
    (clips / "train").rename(clips / "test")
    for split in ("train", "test"):
        link = tmp_path / "data" / peers.DATA / "fan" / split
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(clips / "test")
    options = argparse.Namespace(baseline=checkout, python=sys.executable)
    baseline = peers._baseline(options, tmp_path)
    trained, scored = baseline.train(2, "a"), baseline.score("a")
    assert trained.peak_mb > 1
    assert scored.cpu_s > 0
    assert [path.name for path in checkout.iterdir()] == ["train.py"]
    with pytest.raises(RunError, match="exit status 1: AssertionError"):
        baseline.score("b")


def test_a_folder_without_the_baseline_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"expected a clone with train\.py"):
        peers.main(["--baseline", str(tmp_path)])


@pytest.mark.soak
def test_both_programs_are_measured_in_turns_and_compared(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--clips", "8", "--test-clips", "2", "--epochs", "1", "--rounds", "1"]
    peers.main(["--baseline", str(checkout), *sizes])
    document = json.loads(capsys.readouterr().out)
    assert document["test_clips"] == 8
    assert document["ratios, ours / baseline"]["scoring_peak_mb"] > 1
    assert set(document["median"]) == {"ours", "baseline"}
