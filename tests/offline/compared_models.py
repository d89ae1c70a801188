"""Two models compared once for all tests, and what a comparison needs."""

import shutil
from pathlib import Path

import pytest

from asd_offline.comparison import CompareSettings, Comparison, compare
from asd_offline.comparison.run_result import Outcome
from tests.offline.small_sounds import RATE_HZ, make_set, write_recipe

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


@pytest.fixture(scope="session")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """Two models on two machines with two seeds; tests must not change the folder."""
    folder = tmp_path_factory.mktemp("compared")
    make_set(folder / "set", ("fan", "pump"), ("00",), clips=8)
    recipes(folder / "recipes")
    told = Told()
    return folder, compare(settings(folder), told), told


def copied(compared: Compared, to: Path) -> None:
    shutil.copytree(compared[0], to, dirs_exist_ok=True)
