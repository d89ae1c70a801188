"""Commands that write are killed at random moments: every file is whole, and the next run ends."""

import json
import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile

from asd_monitor.history.records import NoteKind
from asd_monitor.judging import actions
from asd_monitor.judging.store import JudgingStore
from asd_monitor.model_file import read_manifest
from asd_monitor.model_file.keys import create_key, read_key
from tests.offline.compared_models import MODELS, write_recipes
from tests.offline.small_sounds import make_set, write_recipe
from tests.rig.forked import start_command
from tests.rig.judging import ANNA
from tests.rig.setup_process import RATE_HZ, pump_sound
from tests.rig.toy_model import save_toy
from tests.runtime.test_refit import NORMAL, sound, write_state

TIMEOUT_S = 240.0


@dataclass(frozen=True)
class Case:
    """A command, and what it leaves behind when it has ended."""

    prepare: Callable[[Path, Path], None]
    """Called with a new folder, and with a state folder of a machine that was learned."""
    arguments: Callable[[Path], list[object]]
    result: str
    """Pattern of the files that must exist after it has ended."""
    longest_s: float = 3.0
    """Most kills come before this time; an idle computer takes about as long, or a second more."""
    part: str = ""
    """Pattern of files that each end a part of the work: such a part is kept by all later runs, and
    every other kill comes after one more is there. Without it, after the first change of a file."""


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with a model, and events that were judged as normal sound."""
    state = write_state(tmp_path_factory.mktemp("learned") / "state")
    for name in NORMAL:
        actions.judge(JudgingStore(state.root), ANNA, name, NoteKind.NORMAL)
    return state.root


def prepare_learn(folder: Path, _: Path) -> None:
    (folder / "sounds").mkdir()
    for index in range(6):
        path = folder / "sounds" / f"{index:02d}.wav"
        soundfile.write(path, pump_sound(10, seed=index), RATE_HZ)


def prepare_refit(folder: Path, learned: Path) -> None:
    shutil.copytree(learned, folder / "state")


def prepare_calibrate(folder: Path, learned: Path) -> None:
    prepare_refit(folder, learned)
    for name, seconds in (("short", 700.0), ("long", 1500.0)):
        soundfile.write(folder / f"{name}.flac", sound(len(name), seconds), RATE_HZ)


def choose_recording(folder: Path) -> Path:
    """Return a recording that is longer than those of the present calibration."""
    has_been_replaced = list((folder / "state").rglob("*previous*"))
    return folder / ("long.flac" if has_been_replaced else "short.flac")


def prepare_sign(folder: Path, _: Path) -> None:
    save_toy(folder / "pump.asd")
    create_key(folder / "plant.pem")


def prepare_train(folder: Path, _: Path) -> None:
    make_set(folder / "set")
    write_recipe(folder / "recipe.yaml", epochs=30)


def prepare_compare(folder: Path, _: Path) -> None:
    make_set(folder / "set")
    write_recipes(folder / "recipes")


CASES = {
    "learn": Case(
        prepare_learn,
        lambda at: ["--wav", at / "sounds", "--machine", "pump", "--minutes", "1",
                    "--state-dir", at / "state"],
        "state/models/pump.asd",
    ),
    "calibrate": Case(
        prepare_calibrate,
        lambda at: [choose_recording(at), "--machine", "pump", "--state-dir", at / "state"],
        "state/models/pump.asd",
    ),
    "refit": Case(
        prepare_refit,
        lambda at: ["pump", "--yes", "--state-dir", at / "state"],
        "state/models/pump.asd",
    ),
    "sign": Case(
        prepare_sign,
        lambda at: [at / "pump.asd", "--key", at / "plant.pem"],
        "pump.asd",
        longest_s=0.2,
    ),
    "train": Case(
        prepare_train,
        lambda at: ["autoencoder", at / "set", "--config", at / "recipe.yaml", "--out", at / "run",
                    "--cache", at / "cache", *(["--resume"] if (at / "run").exists() else [])],
        "run/metrics.jsonl",
    ),
    "compare": Case(
        prepare_compare,
        lambda at: [at / "set", "--models", ",".join(MODELS), "--seeds", "2", "--jobs", "1",
                    "--out", at / "out", "--cache", at / "cache", "--recipes", at / "recipes"],
        "out/runs/*/result.json",
        part="out/runs/*/result.json",
    ),
}  # fmt: skip


def list_files(folder: Path) -> dict[Path, int]:
    """Return the files below a folder, with the times of their last change."""
    found = {}
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                found[path] = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return found


def is_unfinished(path: Path) -> bool:
    return path.suffix in (".unfinished", ".part", ".tmp")


def check_files(folder: Path) -> None:
    """Every file under its final name is whole."""
    for path in filter(lambda each: not is_unfinished(each), list_files(folder)):
        match path.suffix:
            case ".asd":
                assert read_manifest(path)
            case ".wav" | ".flac":
                assert soundfile.info(path).frames > 0
                soundfile.read(path)
            case ".json":
                json.loads(path.read_text())
            case ".pem":
                assert read_key(path)
            case ".db":
                with closing(sqlite3.connect(path)) as connection:
                    assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def read_parts(case: Case, folder: Path) -> dict[Path, bytes]:
    """Return the files that each end a part of the work, with their content."""
    return {path: path.read_bytes() for path in folder.glob(case.part)} if case.part else {}


def kill(case: Case, command: list[object], folder: Path, delay_s: float, *, begun: bool) -> bool:
    """Kill a command after a time; if so asked, count it from when part of the work was done."""

    def observe() -> object:
        return set(read_parts(case, folder)) if case.part else list_files(folder)

    before = observe()
    process = start_command(command, folder.parent / "log")
    while begun and process.is_alive() and observe() == before:
        time.sleep(0.002)
    process.join(delay_s)
    process.kill()
    process.join()
    return process.exitcode != 0


def kill_and_finish(name: str, folder: Path, learned: Path, kills: int, seed: int) -> int:
    """Kill a command again and again, then let it end; return how often it was killed in time."""
    case, rng = CASES[name], random.Random(seed)  # noqa: S311 - a reproducible test
    at = folder / "files"
    at.mkdir()
    case.prepare(at, learned)
    killed = 0
    parts: dict[Path, bytes] = {}
    for number in range(kills):
        command = [name, *case.arguments(at)]
        begun = number % 2 == 0
        delay_s = rng.uniform(0, case.longest_s / 10 if begun else case.longest_s)
        killed += kill(case, command, at, delay_s, begun=begun)
        check_files(at)
        parts = check_kept(case, at, parts)
    process = start_command([name, *case.arguments(at)], folder / "log")
    process.join(TIMEOUT_S)
    assert process.exitcode == 0, (folder / "log").read_text()
    check_files(at)
    assert list(at.glob(case.result))
    check_kept(case, at, parts)
    left = [path for path in list_files(at) if is_unfinished(path)]
    assert not left
    return killed


def check_kept(case: Case, folder: Path, parts: dict[Path, bytes]) -> dict[Path, bytes]:
    """No part of the work that was done before was lost or done again; return those done now."""
    found = read_parts(case, folder)
    assert parts.items() <= found.items()
    return found


@pytest.mark.parametrize("case", ["sign", "train"])
def test_a_command_that_was_killed_leaves_whole_files_and_ends_the_next_time(
    tmp_path: Path, case: str
) -> None:
    kill_and_finish(case, tmp_path, tmp_path, kills=1, seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("case", CASES)
def test_a_command_that_was_killed_many_times_leaves_whole_files_and_ends(
    tmp_path: Path, learned: Path, case: str
) -> None:
    killed = 0
    for number in range(10):
        folder = tmp_path / str(number)
        folder.mkdir()
        killed += kill_and_finish(case, folder, learned, kills=5, seed=number)
    print(f"{case}: killed {killed} of 50 times before its end")
    assert killed
