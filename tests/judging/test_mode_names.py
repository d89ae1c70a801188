"""People name the modes of a machine, and a mode keeps its name when it is learned again."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from asd_monitor import model_file
from asd_monitor.cli import create_app
from asd_monitor.errors import ConfigError
from asd_monitor.judging.feedback import find_feedback
from asd_monitor.judging.mode_names import list_modes, named_modes, names_path, rename
from asd_monitor.judging.store import JudgingStore
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.modes.learned import LearnedModes, Mode, Scale
from tests.rig.judging import ANNA, make_event, make_store

SCALE = Scale((0.0,), (1.0,), (0.1,))
MODES = LearnedModes(
    (
        Mode("idle", (-60.0,) * 8, -55.0, 12, SCALE),
        Mode("running", (-40.0,) * 8, -35.0, 30, SCALE),
    ),
    0.5,
)


class Loudness(torch.nn.Module):
    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return waveform.abs().mean(1) + 0 * target


def write_model(root: Path, modes: LearnedModes | None = MODES) -> JudgingStore:
    manifest = Manifest(
        "test", "1", ("pump",), 16_000, 1600, 1600, modes={} if modes is None else {"pump": modes}
    )
    (root / "models").mkdir()
    model_file.save(root / "models" / "pump.asd", model_file.script(Loudness()), manifest)
    return make_store(root, make_event("a"))


def test_a_mode_is_renamed_and_the_change_is_recorded(tmp_path: Path) -> None:
    store = write_model(tmp_path)
    outcome = rename(store, ANNA, "pump", "running", "pump 1 alone")
    assert "pump 1 alone" in outcome.message
    assert list_modes(tmp_path, "pump").names == ("idle", "pump 1 alone")
    (entry, *_) = store.reader.audit(1)
    assert (entry.action, entry.who, entry.machine) == ("name-mode", "anna", "pump")
    rename(store, ANNA, "pump", "pump 1 alone", "load 1")
    assert list_modes(tmp_path, "pump").names == ("idle", "load 1")


def test_a_name_follows_the_mode_when_the_machine_is_learned_again(tmp_path: Path) -> None:
    rename(write_model(tmp_path), ANNA, "pump", "idle", "waiting")
    moved = replace(MODES.modes[0], name="running 1", profile_db=(-61.0,) * 8)
    other = replace(MODES.modes[1], name="running 2", profile_db=(-30.0,) * 8)
    again = LearnedModes((moved, other), 0.5)
    assert named_modes(tmp_path, "pump", again).names == ("waiting", "running 2")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("full", "x", 'one of its modes, "idle", "running"; found "full"'),
        ("idle", " ", "1 to 60 printable"),
        ("idle", "not learned", "other than"),
        ("idle", "running", "another mode is called"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    store = write_model(tmp_path)
    with pytest.raises(ConfigError, match=expected):
        rename(store, ANNA, "pump", old, new)
    assert not names_path(tmp_path, "pump").exists()


def test_a_damaged_file_of_names_leaves_the_names_of_the_model(tmp_path: Path) -> None:
    write_model(tmp_path)
    names_path(tmp_path, "pump").write_text('[{"name": 3}]')
    assert list_modes(tmp_path, "pump").names == MODES.names


def test_the_command_lists_and_renames(tmp_path: Path) -> None:
    write_model(tmp_path)
    options = ["modes", "pump", "--state-dir", str(tmp_path)]
    listed = CliRunner().invoke(create_app(), options)
    assert "idle" in listed.output
    assert "-35 dBFS" in listed.output
    done = CliRunner().invoke(create_app(), [*options, "--rename", "idle", "no load"])
    assert done.exit_code == 0, done.output
    assert '"name": "no load"' in CliRunner().invoke(create_app(), [*options, "--json"]).output


def test_a_model_without_modes_says_what_to_do(tmp_path: Path) -> None:
    write_model(tmp_path, None)
    with pytest.raises(ConfigError, match="learn it again"):
        list_modes(tmp_path, "pump")


def test_one_confirmed_state_that_was_not_learned_is_enough_to_learn_from(tmp_path: Path) -> None:
    from asd_monitor.history.records import NoteKind
    from asd_monitor.judging import actions

    clip = {"clip": "clip.flac"}
    store = make_store(tmp_path, make_event("a", **clip), make_event("b", rule="unlearned", **clip))
    actions.judge(store, ANNA, "a", NoteKind.NORMAL)
    assert not find_feedback(store, "pump").is_enough
    outcome = actions.judge(store, ANNA, "b", NoteKind.NORMAL)
    assert outcome.feedback is not None
    assert outcome.feedback.is_enough
    assert "asd-monitor refit pump" in outcome.message
