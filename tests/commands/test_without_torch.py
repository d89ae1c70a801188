"""Commands and the daemon without torch: onnxruntime scores, and what needs torch says so."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_monitor.model_file import LoadPolicy, load, pack, replace_manifest, save, script
from tests.rig.hidden_packages import environment_without
from tests.rig.paths import ROOT
from tests.rig.toy_model import RATE_HZ, LogBands, manifest, noise, save_toy
from tests.rig.virtual_microphone import MakeMicrophones, VirtualSound

HIDDEN = {"torch", "torchaudio"}
WORKING = {
    "run": "run --wav clip.wav --machine pump --model toy.asd --fast --mqtt off --metrics off "
    "--web off --state-dir state --plain",
    "score": "score clip.wav --model toy.asd --target pump --json",
    "score by two processes": "score clip.wav clip.wav --model toy.asd --target pump --jobs 2",
    "inspect": "inspect toy.asd --run --json",
    "doctor": "doctor --mqtt off --metrics off --state-dir state --model toy.asd",
    "check": "check monitor.yaml",
    "history": "history --state-dir state",
    "events": "events --state-dir state",
    "sign": "sign toy.asd --state-dir state",
}
CODES = {"doctor": (0, 4)}
"""Exit codes other than 0: there may be no microphone."""
REFUSED = {
    "learn": ("learn --wav clip.wav --machine pump --state-dir state", "[torch]"),
    "a machine without a model": (
        "run --wav clip.wav --machine fan --fast --mqtt off --metrics off --web off "
        "--state-dir state --plain",
        "[torch]",
    ),
    "another runtime": (
        "score clip.wav --model toy.asd --target pump --runtime torchscript",
        "[torch]",
    ),
    "a file without graphs": ("score clip.wav --model old.asd --target pump", "[torch]"),
    "detectability": ("detectability --model toy.asd --wav clip.wav", "[torch]"),
    "demo": ("demo", "[torch]"),
    "bench": ("bench cpu", "[torch]"),
    "train": ("train autoencoder missing", "[offline]"),
    "export": ("export missing --out missing.asd", "[offline]"),
}
Outcome = dict[str, str | int]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("without_torch")
    save_toy(folder / "toy.asd")
    (folder / "old.asd").write_bytes(pack(script(LogBands()), manifest(), with_graphs=False))
    soundfile.write(folder / "clip.wav", noise(20).ravel(), RATE_HZ)
    (folder / "monitor.yaml").write_text("machines: {pump: {mic: 0}}\n")
    (folder / "start").mkdir()
    return folder


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> dict[str, Outcome]:
    """What every command did."""
    calls = {**WORKING, **{name: line for name, (line, _) in REFUSED.items()}}
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "rig" / "run_commands.py"],
        input=json.dumps([call.split() for call in calls.values()]),
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment_without(HIDDEN, folder / "start"),
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(calls, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("command", WORKING)
def test_commands_that_only_score_work(command: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[command]
    assert outcome["code"] in CODES.get(command, (0,)), outcome["stderr"]
    assert "Traceback" not in str(outcome["stderr"])


@pytest.mark.parametrize("command", REFUSED)
def test_what_needs_torch_says_which_extra_to_install(
    command: str, outcomes: dict[str, Outcome]
) -> None:
    outcome = outcomes[command]
    assert outcome["code"] in (2, 3)
    last = str(outcome["stderr"]).splitlines()[-1]
    assert last.startswith("asd-monitor: ")
    assert f"pip install 'asd-monitor{REFUSED[command][1]}'" in last


def test_scores_are_those_of_torch(folder: Path, outcomes: dict[str, Outcome]) -> None:
    (line,) = str(outcomes["score"]["stdout"]).splitlines()
    found = json.loads(line)["recordings"][0]["score"]
    sound, _ = soundfile.read(folder / "clip.wav", dtype="float32")
    windows = np.lib.stride_tricks.sliding_window_view(sound, 800)[::400]
    expected = load(folder / "toy.asd").score(windows, np.zeros(len(windows), np.int64))
    np.testing.assert_allclose(found, expected.mean(), rtol=1e-5)


def test_inspect_names_the_runtime(outcomes: dict[str, Outcome]) -> None:
    facts = json.loads(str(outcomes["inspect"]["stdout"]))
    assert (facts["runtimes"], facts["runtime"]) == (["torchscript", "onnx"], "onnx")


def test_doctor_says_that_onnxruntime_scores(outcomes: dict[str, Outcome]) -> None:
    assert "torch is not installed: onnxruntime" in str(outcomes["doctor"]["stdout"])


@pytest.fixture
def monitor(
    folder: Path, tmp_path: Path, virtual_microphones: MakeMicrophones
) -> Iterator[subprocess.Popen[str]]:
    """The daemon on a virtual microphone, without torch."""
    sound = (noise(200).ravel() * 32767).astype(np.int16)
    mics = virtual_microphones(pump=VirtualSound(sound, rate_hz=RATE_HZ))
    (tmp_path / "start").mkdir()
    hidden = environment_without(HIDDEN, tmp_path / "start")
    process = subprocess.Popen(
        [sys.executable, "-m", "asd_monitor.cli", "run", "--mic", "pump", "--machine", "pump",
         "--model", str(folder / "toy.asd"), "--mqtt", "off", "--metrics", "off", "--web", "off",
         "--state-dir", str(tmp_path / "state"), "--plain"],
        env=mics.environment | {"PYTHONPATH": hidden["PYTHONPATH"]},
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    yield process
    process.terminate()
    process.communicate(timeout=400)


def test_the_daemon_monitors_a_microphone(monitor: subprocess.Popen[str]) -> None:
    assert monitor.stderr is not None
    for line in monitor.stderr:
        if "UNKNOWN -> NORMAL" in line:
            break
    else:
        pytest.fail("the monitor ended")
    maps = Path(f"/proc/{monitor.pid}/maps").read_text()
    assert "onnxruntime" in maps
    assert "libtorch" not in maps


def test_a_calibration_keeps_the_graphs(tmp_path: Path) -> None:
    path = tmp_path / "toy.asd"
    save(path, script(LogBands()), manifest())
    changed = manifest(revision="2", created_at="2026-11-21T12:00:00+00:00")
    path.write_bytes(replace_manifest(path.read_bytes(), changed))
    for runtime in ("torchscript", "onnx"):
        model = load(path, policy=LoadPolicy(runtime=runtime))
        assert model.manifest.revision == "2"
