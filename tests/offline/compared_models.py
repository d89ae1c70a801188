"""Two models compared once for all tests, and helpers for further comparisons."""

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from asd_offline.comparison import CompareSettings, Comparison, compare
from tests.offline.small_sounds import RATE_HZ, make_set, write_recipe

TWFR = f"model: twfr_gmm\nsample_rate_hz: {RATE_HZ}\nn_fft: 256\nhop_length: 128\nn_mels: 16\n"
MODELS = ("autoencoder", "twfr_gmm")


@dataclass
class RecordedProgress:
    """Progress that records messages and checks the stages of a comparison."""

    messages: list[str] = field(default_factory=list)

    @property
    def finished_runs(self) -> list[tuple[str, int]]:
        """Model and seed of each run that was reported."""
        pattern = re.compile(r"\d+/\d+ (\w+), seed (\d+): ")
        matches = [pattern.match(message) for message in self.messages]
        return [(match[1], int(match[2])) for match in matches if match]

    def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
        assert stage == "runs"
        assert 0 <= done <= total

    def message(self, text: str) -> None:
        self.messages.append(text)


@dataclass(frozen=True)
class Compared:
    """A finished comparison, its folder and what it reported."""

    folder: Path
    comparison: Comparison
    progress: RecordedProgress

    def copy_to(self, folder: Path) -> None:
        """Copy dataset, recipes, caches and results."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)


def write_recipes(folder: Path, **changes: object) -> Path:
    folder.mkdir(parents=True)
    write_recipe(folder / "autoencoder.yaml", **({"epochs": 2} | changes))
    (folder / "twfr_gmm.yaml").write_text(TWFR)
    return folder


def compare_settings(tmp_path: Path, **changes: object) -> CompareSettings:
    values: dict[str, object] = {
        "dataset": tmp_path / "set",
        "out": tmp_path / "out",
        "cache": tmp_path / "cache",
        "models": MODELS,
        "recipes": tmp_path / "recipes",
        "seeds": 2,
        "jobs": 1,
    }
    return CompareSettings(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """Two models on two machines with two seeds; tests must not change the folder."""
    folder = tmp_path_factory.mktemp("compared")
    make_set(folder / "set", ("fan", "pump"), ("00",), clips=8)
    write_recipes(folder / "recipes")
    progress = RecordedProgress()
    return Compared(folder, compare(compare_settings(folder), progress), progress)
