"""The program is killed before each single step of writing; nothing that was reported is lost."""

import hashlib
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_monitor.commands.calibrate import _write
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.judging import proposal
from asd_monitor.judging.proposal import ModelSummary, Proposal
from asd_monitor.model_file import read_manifest
from asd_monitor.recalibration.extension import RuleSummary
from asd_monitor.records import FloatArray, Window
from asd_monitor.runtime.calibrate import Recalibration
from asd_monitor.runtime.model_store import save_model
from asd_monitor.runtime.own_signature import sign_own
from asd_monitor.runtime.recording_store import RecordingStore
from asd_monitor.runtime.state_dir import StateFolder
from tests.rig.judging import ANNA, make_store
from tests.rig.killed_at import run_killed_at
from tests.rig.toy_model import save_toy

RATE_HZ = 1000
MAX_EVENTS = 100


def sha(path: Path) -> str:
    """Return the hash of a whole model; none, of a file that does not exist."""
    return read_manifest(path)[1] if path.exists() else "none"


def models(state: StateFolder) -> tuple[str, str]:
    """Return the hashes of the model in use and of the previous one."""
    return sha(state.model_path("pump")), sha(proposal.previous_model(state.root, "pump"))


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Return three models."""
    path = tmp_path_factory.mktemp("models") / "toy.asd"
    return [save_toy(path, {"revision": revision}).read_bytes() for revision in "123"]


def make_states(folder: Path, contents: list[bytes]) -> Callable[[int], StateFolder]:
    """Return a function that gives each kill a copy of a state folder with two models."""
    first = StateFolder(folder / "first")
    make_store(first.root)
    for content in contents[:2]:
        save_model(first, "pump", content)

    def copy(number: int) -> StateFolder:
        shutil.copytree(first.root, folder / str(number))
        return StateFolder(folder / str(number))

    return copy


def kill_at_each_step(
    folder: Path,
    contents: list[bytes],
    write: Callable[[StateFolder], object],
    check: Callable[[StateFolder, bool], None],
) -> int:
    """Kill a function at each of its steps, in a new state folder each time; return how many."""
    copy = make_states(folder, contents)
    for number in range(MAX_EVENTS):
        state = copy(number)
        killed = run_killed_at(number, state.root, partial(write, state))
        check(state, not killed)
        write(state)  # the next attempt succeeds, whatever the last has left
        check(state, True)
        if not killed:
            return number
    raise AssertionError("it has not ended")


def test_a_learned_model_is_old_or_new_at_each_step_and_new_once_reported(
    tmp_path: Path, contents: list[bytes]
) -> None:
    content = contents[2]
    seen = set()

    def check(state: StateFolder, reported: bool) -> None:
        present, previous = models(state)
        signed = hashlib.sha256(sign_own(state, content)).hexdigest()
        assert previous != "none"
        assert present == signed or not reported
        seen.add(present == signed)

    steps = kill_at_each_step(
        tmp_path, contents, lambda state: save_model(state, "pump", content), check
    )
    assert steps >= 6
    assert seen == {True, False}


def test_a_recalibrated_model_is_old_or_new_at_each_step_and_new_once_reported(
    tmp_path: Path, contents: list[bytes]
) -> None:
    def write(state: StateFolder) -> None:
        path = state.model_path("pump")
        summary = RuleSummary(1.0, None, None, 10.0, None, provisional=False)
        rule = DecisionRule.from_manifest(read_manifest(path)[0], "pump")
        found = Recalibration(path, "pump", summary, summary, rule, contents[2])
        _write(found, "pump", None, None, state.root)

    before: dict[Path, str] = {}

    def check(state: StateFolder, reported: bool) -> None:
        present, previous = models(state)
        old = before.setdefault(state.root, sha(tmp_path / "first" / "models" / "pump.asd"))
        assert "none" not in (present, previous)
        if present != old:  # the model that was replaced can be taken back
            assert reported or previous == old

    assert kill_at_each_step(tmp_path, contents, write, check) >= 6


def propose(state: StateFolder, content: bytes) -> None:
    """Propose a model, as `refit` does."""
    proposed = proposal.proposed_model(state.root, "pump")
    proposed.parent.mkdir(exist_ok=True)
    proposed.write_bytes(content)
    summary = ModelSummary(sha(state.model_path("pump")), 1.0, None, 10, False, 60.0)
    proposal.write_proposal(
        state.root, Proposal("pump", 0.0, (), before=summary, after=summary, events=())
    )


def test_a_proposed_model_is_used_or_not_at_each_step_and_the_old_one_is_kept(
    tmp_path: Path, contents: list[bytes]
) -> None:
    used = []

    def accept(state: StateFolder) -> None:
        store = make_store(state.root)
        if read_manifest(state.model_path("pump"))[0].revision != "3":
            propose(state, contents[2])
            proposal.accept(store, ANNA, "pump")

    def check(state: StateFolder, reported: bool) -> None:
        old = sha(tmp_path / "first" / "models" / "pump.asd")
        present, previous = models(state)
        used.append(present != old)
        assert present == old or previous == old
        assert present != old or not reported

    assert kill_at_each_step(tmp_path, contents, accept, check) >= 6
    assert set(used) == {True, False}


def take_back(state: StateFolder) -> None:
    proposal.undo(make_store(state.root), ANNA, "pump")


def test_no_model_is_lost_at_any_step_of_taking_one_back(
    tmp_path: Path, contents: list[bytes]
) -> None:
    copy = make_states(tmp_path, contents)
    number, killed = 0, True
    while killed:
        state = copy(number)
        first = models(state)
        killed = run_killed_at(number, state.root, partial(take_back, state))
        if killed and models(state)[0] == first[0]:
            take_back(state)
        assert models(state) == (first[1], first[0])
        assert not list(state.root.rglob("*.taken"))
        number += 1
    assert number > 6


def noise(seed: int) -> FloatArray:
    return (0.1 * np.random.default_rng(seed).standard_normal(10 * RATE_HZ)).astype(np.float32)


def test_a_recording_is_whole_or_absent_at_each_step_and_there_once_reported(
    tmp_path: Path,
) -> None:
    def record(folder: Path, seed: int) -> bool:
        store = RecordingStore("pump", folder, RATE_HZ, "now")
        return store.add(Window("pump", noise(seed), 0, 0.0))

    number, killed, found = 0, True, set()
    while killed:
        folder = tmp_path / str(number) / "train"
        assert record(folder, 0)
        killed = run_killed_at(number, tmp_path, partial(record, folder, 1))
        recordings = sorted(folder.glob("*.wav"))
        assert [soundfile.info(path).frames for path in recordings] == [10 * RATE_HZ] * len(
            recordings
        )
        assert killed or len(recordings) == 2
        found.add(len(recordings))
        record(folder, 1)
        assert len(list(folder.glob("*.wav"))) == 2
        number += 1
    assert found == {1, 2}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_rig_kills_before_the_step_that_was_asked_for(tmp_path: Path, number: int) -> None:
    def write() -> None:
        for name in "abc":
            (tmp_path / name).write_text(name)

    assert run_killed_at(number, tmp_path, write)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted("abc"[:number])
