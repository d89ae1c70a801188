"""Scoring of many and of long recordings: constant memory, any number of processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_monitor.audio.files import read_recording
from asd_monitor.audio.windowing import clip_windows, iter_clip_windows
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.detector import Detector
from asd_monitor.model_file import load
from asd_monitor.runtime import score_files as module
from asd_monitor.runtime.score_files import ScoredFile, ScoreJob, score_files
from tests.rig.toy_model import RATE_HZ, TARGETS, WINDOW_SAMPLES, noise, save_toy

FORMATS = (("wav", "PCM_16"), ("wav", "FLOAT"), ("flac", "PCM_24"), ("ogg", "VORBIS"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    save_toy(folder / "toy.asd")
    for index in range(6):
        samples = noise(5 + 3 * index, -26.0 + index, seed=index).ravel()
        soundfile.write(folder / f"{index}.wav", samples, RATE_HZ, subtype="PCM_24")
    (folder / "2.wav").write_bytes((folder / "2.wav").read_bytes()[:5000])  # cut short
    return folder


def job_of(folder: Path) -> ScoreJob:
    path = folder / "toy.asd"
    return ScoreJob(path, path.read_bytes(), "cpu", TARGETS[0])


def score_all(folder: Path, workers: int) -> list[ScoredFile]:
    model = load(folder / "toy.asd", "cpu")
    return list(score_files(sorted(folder.glob("*.wav")), job_of(folder), model, workers))


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 44_100, 96_000])
@pytest.mark.parametrize(("suffix", "subtype"), FORMATS)
def test_scores_of_blocks_equal_those_of_the_whole_recording(
    tmp_path: Path, folder: Path, rate_hz: int, suffix: str, subtype: str
) -> None:
    path = tmp_path / f"sound.{suffix}"
    soundfile.write(path, noise(1 + 10 * rate_hz // WINDOW_SAMPLES).ravel(), rate_hz, subtype)
    model = load(folder / "toy.asd", "cpu")
    [scored] = score_files([path], job_of(folder), model)
    detector = Detector(model, {TARGETS[0]: DecisionRule.from_manifest(model.manifest, TARGETS[0])})
    whole = detector.score_recording(read_recording(path, RATE_HZ), str(path), TARGETS[0])
    assert scored.clip is not None
    assert len(scored.clip.windows) == len(whole.windows) > 190
    values = np.array([w.value for w in scored.clip.windows], np.float64)
    expected = np.array([w.value for w in whole.windows], np.float64)
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    assert scored.clip.value == pytest.approx(whole.value, rel=1e-6)
    assert scored.clip.windows[-1].captured_at == whole.windows[-1].captured_at


@pytest.mark.parametrize("block", [1, 7, 800, 801, 5000])
def test_windows_do_not_depend_on_the_blocks(block: int) -> None:
    samples = noise(5).ravel()
    blocks = (samples[first : first + block] for first in range(0, len(samples), block))
    windows = list(iter_clip_windows(blocks, WINDOW_SAMPLES, 300))
    np.testing.assert_array_equal(windows, clip_windows(samples, WINDOW_SAMPLES, 300))


def test_results_and_their_order_do_not_depend_on_the_number_of_processes(folder: Path) -> None:
    alone, several = score_all(folder, 1), score_all(folder, 3)
    assert [scored.path.stem for scored in several] == list("012345")
    assert [(s.problem, s.rate_hz) for s in several] == [(s.problem, s.rate_hz) for s in alone]
    assert [s.path.stem for s in several if s.problem] == ["2"]
    for one, other in zip(alone, several, strict=True):
        if one.clip and other.clip:
            assert [w.value for w in one.clip.windows] == [w.value for w in other.clip.windows]
            assert (one.clip.value, one.clip.verdict) == (other.clip.value, other.clip.verdict)


def test_a_recording_that_ends_its_process_costs_no_other_recording(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "get_context", _fork_context)
    monkeypatch.setattr(module, "iter_model_input", _end_at_file_4)
    results = score_all(folder, 2)
    assert [scored.path.stem for scored in results] == list("012345")
    assert [scored.path.stem for scored in results if scored.problem] == ["2", "4"]
    assert "the process that scored it ended" in results[4].problem


def _fork_context(_: str) -> object:
    """Return a context whose processes have the patched function, too."""
    from multiprocessing import get_context

    return get_context("fork")


def _end_at_file_4(path: Path, rate_hz: int, channels: range) -> object:
    from asd_monitor.audio.files import iter_model_input

    if path.stem == "4":
        os.kill(os.getpid(), signal.SIGKILL)
    return iter_model_input(path, rate_hz, channels)


def test_ctrl_c_ends_the_command_and_its_processes(folder: Path, tmp_path: Path) -> None:
    long = tmp_path / "long.wav"
    samples = np.tile(noise(100).ravel(), 100)  # 1000 s; several minutes of work in all
    soundfile.write(long, samples, RATE_HZ)
    command = [sys.executable, "-c", "from asd_monitor.cli import main; main()", "score"]
    command += [str(folder / "0.wav"), *[str(long)] * 40, "--model", str(folder / "toy.asd")]
    command += ["--target", TARGETS[0], "--jobs", "2"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=400)
    assert lines[2].rstrip().endswith("0.wav")
    assert (process.returncode, errors.splitlines()[-1][:8]) == (130, "stopped;")
    deadline = time.monotonic() + 240
    while _group_exists(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
