"""The real environment of the extra ``edge``: small, without torch, and scoring as torch does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from tests.rig.paths import ROOT
from tests.rig.toy_model import RATE_HZ, noise, save_toy

MAX_INSTALLED_MB = 300.0


@pytest.mark.soak
def test_the_edge_environment_scores_without_torch(tmp_path: Path) -> None:
    environment = tmp_path / "edge"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    install = [environment / "bin" / "pip", "install", "--quiet", "-c", ROOT / "constraints.txt"]
    subprocess.run([*map(str, install), f"{ROOT}[edge]"], check=True)
    files = (path for path in environment.rglob("*") if path.is_file() and not path.is_symlink())
    assert sum(path.stat().st_size for path in files) / 1e6 < MAX_INSTALLED_MB
    assert not list(environment.glob("lib/*/site-packages/torch"))
    save_toy(tmp_path / "toy.asd")
    soundfile.write(tmp_path / "clip.wav", noise(20).ravel(), RATE_HZ)
    command = ["score", "clip.wav", "--model", "toy.asd", "--target", "pump", "--json"]
    scores = []
    for program in (
        [environment / "bin" / "asd-monitor"],
        [sys.executable, "-m", "asd_monitor.cli"],
    ):
        done = subprocess.run(
            [*program, *command], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        scores.append(json.loads(done.stdout)["recordings"][0]["score"])
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)
