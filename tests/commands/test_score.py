"""``score`` and ``inspect`` as a user sees them: tables, JSON, exit codes."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from typer.testing import CliRunner, Result

from asd_monitor.calibration.learned_levels import LearnedLevels
from asd_monitor.calibration.normal_range import NormalRange
from asd_monitor.calibration.score_text import format_score
from asd_monitor.cli import create_app
from asd_monitor.commands.inspect import inspect
from asd_monitor.commands.score import score
from asd_monitor.errors import ConfigError, ModelFileError, SourceError
from asd_monitor.model_file import read_manifest
from tests.rig.toy_model import RATE_HZ, calibration, noise, save_toy

app = typer.Typer()
app.command("score")(score)
app.command("inspect")(inspect)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("score")
    save_toy(folder / "toy.asd")
    soundfile.write(folder / "normal.wav", noise(5).ravel(), RATE_HZ, subtype="PCM_24")
    soundfile.write(folder / "loud.flac", noise(5, -10).ravel(), RATE_HZ)
    soundfile.write(folder / "brief.wav", noise(1).ravel()[:99], RATE_HZ)
    both = np.stack([np.zeros(20_000), noise(25).ravel()], axis=1)
    soundfile.write(folder / "stereo_44k.wav", both, 44_100)
    (folder / "text.wav").write_text("hello")
    return folder


def test_each_recording_gets_a_line_with_score_and_verdict(folder: Path) -> None:
    files = (folder / "normal.wav", folder / "loud.flac")
    result = run("score", *files, "--model", folder / "toy.asd", "--target", "pump")
    assert result.exit_code == 0
    heading, columns, normal, loud, _, counts, window_rule = result.stdout.splitlines()
    assert heading.startswith("log bands 1, target pump, threshold ")
    assert columns.split() == ["score", "p", "windows", "verdict", "file", "in", str(folder)]
    assert normal.split(maxsplit=3)[2:] == ["9", "below threshold    normal.wav"]
    assert loud.split(maxsplit=3)[1:] == ["<0.001", "9", "above threshold    loud.flac"]
    assert counts == "1 below threshold, 1 above threshold"
    assert window_rule.startswith("  a score above the threshold (")


def test_a_recording_of_a_machine_that_is_off_is_reported_as_such(
    folder: Path, tmp_path: Path
) -> None:
    save_toy(tmp_path / "toy.asd", {"levels": {"pump": LearnedLevels(-28.0, -26.0, -24.0)}})
    soundfile.write(tmp_path / "off.wav", noise(5, -45).ravel(), RATE_HZ, subtype="PCM_24")
    files = (tmp_path / "off.wav", folder / "normal.wav")
    result = run("score", *files, "--model", tmp_path / "toy.asd", "--target", "pump")
    assert [line.split()[3] for line in result.stdout.splitlines()[2:4]] == ["machine", "below"]
    assert "below -38 dBFS the machine is off" in result.stdout


def test_a_recording_below_the_threshold_may_be_above_the_normal_range(
    folder: Path, tmp_path: Path
) -> None:
    base = ("--target", "pump", "--json")
    plain = run("score", folder / "normal.wav", "--model", folder / "toy.asd", *base)
    score_of_normal = json.loads(plain.stdout)["recordings"][0]["score"]
    level = NormalRange(score_of_normal - 0.5, rank=1, segments=10, effective_segments=10.0)
    calibrations = {"pump": replace(calibration(0), normal_range=level)}
    save_toy(tmp_path / "toy.asd", {"calibrations": calibrations})
    result = run("score", folder / "normal.wav", "--model", tmp_path / "toy.asd", *base)
    [recording] = json.loads(result.stdout)["recordings"]
    assert recording["above_threshold"] is False
    assert recording["verdict"]["word"] == "above normal range"
    assert recording["verdict"]["rule"] == "sequential"
    assert recording["verdict"]["limit"] == level.level
    assert recording["verdict"]["sentence"].endswith("an alarm if it lasts")


def test_line_breaks_in_names_are_escaped(folder: Path) -> None:
    odd, unreadable = folder / "odd\nname.wav", folder / "no\rfile.wav"
    odd.write_bytes((folder / "normal.wav").read_bytes())
    result = run("score", odd, unreadable, "--model", folder / "toy.asd", "--target", "pump")
    assert result.stdout.splitlines()[2].endswith("odd\\nname.wav")
    assert "no\\rfile.wav: expected a recording" in result.stderr


def test_windows_without_usable_sound_are_reported_after_the_verdict(folder: Path) -> None:
    path = folder / "half.wav"
    soundfile.write(path, np.concatenate([noise(3).ravel(), np.zeros(RATE_HZ * 5)]), RATE_HZ)
    result = run("score", path, "--model", folder / "toy.asd", "--target", "pump")
    assert re.search(r"half\.wav  \(\d+ silent\)$", result.stdout.splitlines()[2])


def test_recordings_at_another_rate_than_the_learned_ones_are_noted(
    folder: Path, tmp_path: Path
) -> None:
    training = {"fingerprint": "0" * 64, "recorded_at_hz": [RATE_HZ]}
    save_toy(tmp_path / "toy.asd", {"training": training})
    base = ("--model", tmp_path / "toy.asd", "--target", "pump", "--channel", "0")
    files = (folder / "normal.wav", folder / "stereo_44k.wav")
    lines = run("score", *files, *base).stdout.splitlines()
    assert lines[-2].startswith("Note: 1 of 2 recordings were recorded at 44100 Hz, the learned")
    document = json.loads(run("score", *files, *base, "--json").stdout)
    assert [part["sample_rate_hz"] for part in document["recordings"]] == [RATE_HZ, 44_100]
    assert document["notes"] == [line.removeprefix("Note: ") for line in lines[-2:]]
    assert "Note:" not in run("score", files[0], *base).stdout
    assert f"[{RATE_HZ}]" in run("inspect", tmp_path / "toy.asd").stdout


def test_a_silent_channel_is_noted_with_the_one_that_has_sound(folder: Path) -> None:
    path = folder / "stereo_44k.wav"
    result = run("score", path, "--model", folder / "toy.asd", "--target", "pump")
    note = f"Note: {path}: channel 0 is silent, but channel 1 has sound: use `--channel 1`"
    assert result.stdout.splitlines()[-1] == note


def test_json_is_one_document_with_every_window(folder: Path) -> None:
    loud = folder / "loud.flac"
    result = run("score", loud, "--model", folder / "toy.asd", "--target", "pump", "--json")
    document = json.loads(result.stdout)
    assert document["model"]["sha256"] == read_manifest(folder / "toy.asd")[1]
    [recording] = document["recordings"]
    assert recording["file"] == str(loud)
    assert recording["above_threshold"] is True
    assert recording["score"] == pytest.approx(
        np.mean([window["score"] for window in recording["windows"]])
    )
    assert [window["start_s"] for window in recording["windows"]] == [i / 20 for i in range(9)]


def test_an_unreadable_recording_is_reported_and_the_others_are_scored(folder: Path) -> None:
    names = ("text.wav", "brief.wav", "missing.wav", "normal.wav")
    result = run(
        "score", *(folder / name for name in names), "--model", folder / "toy.asd",
        "--target", "pump", "--json",
    )  # fmt: skip
    assert isinstance(result.exception, SourceError)
    assert str(result.exception) == "3 of 4 recordings could not be read"
    document = json.loads(result.stdout)
    assert [Path(clip["file"]).name for clip in document["recordings"]] == ["normal.wav"]
    assert list(document["unreadable"]) == [str(folder / name) for name in names[:3]]
    for name in names[:3]:
        assert name in result.stderr


def test_any_rate_and_channel_can_be_chosen(folder: Path) -> None:
    base = ("score", folder / "stereo_44k.wav", "--model", folder / "toy.asd", "--target", "pump")
    silent = run(*base)
    assert silent.stdout.splitlines()[2].split()[:5] == ["-", "-", "8", "not", "scored"]
    scored = json.loads(run(*base, "--channel", "1", "--json").stdout)["recordings"][0]
    assert scored["score"] is not None
    assert len(scored["windows"]) == 8


def test_a_model_with_several_targets_needs_a_choice(folder: Path) -> None:
    result = run("score", folder / "normal.wav", "--model", folder / "toy.asd")
    assert isinstance(result.exception, ConfigError)
    assert "choose one with --target: pump, fan" in str(result.exception)


def test_a_model_without_calibration_still_scores(folder: Path, tmp_path: Path) -> None:
    save_toy(tmp_path / "bare.asd", {"calibrations": {}, "thresholds": {}})
    result = run(
        "score", folder / "normal.wav", "--model", tmp_path / "bare.asd", "--target", "fan"
    )
    assert result.exit_code == 0
    assert "no threshold" in result.stdout.splitlines()[0]
    assert result.stdout.splitlines()[2].split()[1:6] == ["-", "9", "no", "limit", "known"]


def test_inspect_shows_what_a_user_needs_to_trust_a_model(folder: Path) -> None:
    result = run("inspect", folder / "toy.asd", "--run")
    assert result.exit_code == 0
    manifest, sha256 = read_manifest(folder / "toy.asd")
    for text in (
        "log bands 1", sha256, "8000 Hz, mono", "reference scores ok", "pump", "fan",
        "200 windows", format_score(manifest.thresholds["pump"].value), "0" * 64, "ms per window",
    ):  # fmt: skip
        assert text in result.stdout


def test_inspect_shows_what_raises_the_alarm_and_how_rarely_without_a_fault(
    tmp_path: Path,
) -> None:
    calibrations = {"pump": calibration(0, windows=3000)}
    save_toy(tmp_path / "toy.asd", {"calibrations": calibrations})
    output = run("inspect", tmp_path / "toy.asd").stdout
    assert "in 3 an alarm" in output
    assert "sound that stays above its normal range gives a warning" in output
    assert "pump: 5 min of sound support" in output


def test_inspect_json_contains_the_manifest(folder: Path) -> None:
    document = json.loads(run("inspect", folder / "toy.asd", "--run", "--json").stdout)
    assert document["manifest"] == json.loads(
        json.dumps(read_manifest(folder / "toy.asd")[0].to_dict())
    )
    assert document["reference_scores"] == "ok"
    assert document["evidence"] is True
    assert document["size_bytes"] == (folder / "toy.asd").stat().st_size
    assert document["ms_per_window"] > 0


def test_a_damaged_model_is_refused(folder: Path, tmp_path: Path) -> None:
    content = bytearray((folder / "toy.asd").read_bytes())
    content[content.index(b"manifest.json") + 200] ^= 1
    (tmp_path / "damaged.asd").write_bytes(content)
    for arguments in (
        ("inspect", tmp_path / "damaged.asd"),
        ("score", folder / "normal.wav", "--model", tmp_path / "damaged.asd"),
    ):
        assert isinstance(run(*arguments).exception, ModelFileError)


def test_a_folder_is_scored_as_its_recordings(folder: Path, tmp_path: Path) -> None:
    for name in ("b/2.flac", "1.wav", "3.mp3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, noise(5).ravel(), RATE_HZ)
    (tmp_path / "4.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    result = run("score", tmp_path, "--model", folder / "toy.asd", "--target", "pump", "--json")
    assert result.exit_code == 0
    files = [recording["file"] for recording in json.loads(result.stdout)["recordings"]]
    assert files == [str(tmp_path / name) for name in ("1.wav", "3.mp3", "b/2.flac")]


def test_a_folder_without_recordings_is_an_error_that_names_the_formats(
    folder: Path, tmp_path: Path
) -> None:
    result = run("score", tmp_path, "--model", folder / "toy.asd", "--target", "pump")
    assert isinstance(result.exception, SourceError)
    assert ".flac, .ogg, .mp3" in str(result.exception)


def test_an_unknown_format_is_reported_with_those_that_are_read(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "4.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    result = run("score", tmp_path / "4.m4a", "--model", folder / "toy.asd", "--target", "pump")
    assert "formats read: WAV, FLAC, Ogg, MP3" in result.stderr


def test_a_folder_without_recordings_is_reported_and_the_others_are_scored(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    recording, model = folder / "normal.wav", folder / "toy.asd"
    paths = [tmp_path / "empty", recording]
    done = run("score", *paths, "--model", model, "--target", "pump", "--json")
    assert isinstance(done.exception, SourceError)
    assert "1 of 2 recordings could not be read" in str(done.exception)
    document = json.loads(done.stdout)
    assert [clip["file"] for clip in document["recordings"]] == [str(recording)]
    assert "expected recordings, found none" in document["unreadable"][str(tmp_path / "empty")]


@pytest.mark.parametrize(
    "command",
    [
        "score junk.wav --model {model} --target pump",
        "picture junk.wav --model {model} --target pump --out picture.png",
        "learn --wav junk.wav --machine x --plain",
        "run --wav junk.wav --machine x --fast --plain --web off --metrics off",
        "run --wav junk.wav --machine pump --model {model} --fast --plain --web off --metrics off",
    ],
)
def test_an_unreadable_recording_has_the_same_exit_code_everywhere(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    Path("junk.wav").write_text("junk")
    arguments = command.format(model=folder / "toy.asd").split()
    error = CliRunner().invoke(create_app(), arguments).exception
    assert isinstance(error, SourceError), error
    assert "junk.wav" in str(error) or command.startswith("score")
