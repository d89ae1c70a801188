"""Every command without the packages of the ``offline`` extra: a result, or how to install them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TypedDict

import pytest
import soundfile

from asd_monitor.cli import COMMANDS
from asd_monitor.commands.offline_extra import PACKAGES
from asd_monitor.demo.pump_sound import PumpSound
from tests.offline.synthetic_evaluation import write_evaluation_files
from tests.offline.zenodo_server import RecordServer, serving, zipped
from tests.rig.hidden_packages import environment_without
from tests.rig.paths import ROOT
from tests.rig.toy_model import RATE_HZ, noise, save_toy

ELSEWHERE = {"demo", "bench"}
"""Run without the extra in their own tests, because they take long."""


RECORD_OF_2020 = 3678171


class Outcome(TypedDict):
    code: int
    stdout: str
    stderr: str


def write_inputs(folder: Path) -> None:
    """Write a model file, recordings to score and to learn, and a configuration."""
    save_toy(folder / "toy.asd")
    soundfile.write(folder / "clip.wav", noise(20).ravel(), RATE_HZ)
    soundfile.write(folder / "pump.wav", PumpSound(3).block(0, 30 * 16_000), 16_000)
    (folder / "monitor.yaml").write_text("machines: {pump: {mic: 0}}\n")
    (folder / "run").mkdir()
    (folder / "run" / "run.json").write_text("{}")
    write_evaluation_files(folder, 2020)


def publish(server: RecordServer, clip: Path) -> None:
    """Publish a pump of DCASE 2020 with one training clip and one test clip."""
    sound = clip.read_bytes()
    clips = {f"pump/{split}/normal_id_00_00000000.wav": sound for split in ("train", "test")}
    server.add(RECORD_OF_2020, "dev_data_pump.zip", zipped(clips))


WORKING = {
    "run": "run --wav clip.wav --machine pump --model toy.asd --fast --mqtt off --metrics off "
    "--web off --state-dir state --plain",
    "learn": "learn --wav pump.wav --machine pump --minutes 0.5 --window 2 --state-dir state "
    "--plain",
    "devices": "devices",
    "init": "init written",
    "doctor": "doctor --mqtt off --metrics off --state-dir state --model toy.asd",
    "check": "check monitor.yaml",
    "access": "access --state-dir state",
    "mqtt": "mqtt --help",
    "score": "score clip.wav --model toy.asd --target pump",
    "inspect": "inspect toy.asd",
    "detectability": "detectability --model toy.asd --wav clip.wav",
    "sign": "sign toy.asd --state-dir state",
    "history": "history --state-dir state",
    "events": "events --state-dir state",
    "ack": "ack --machine pump --state-dir state",
    "feedback": "feedback EVENT normal --state-dir state",
    "resend": "resend --since 2h --state-dir state",
    "shelve": "shelve pump --for 1h --state-dir state",
    "unshelve": "unshelve pump --state-dir state",
    "refit": "refit pump --yes --state-dir state",
    "modes": "modes pump --state-dir state",
    "calibrate": "calibrate clip.wav --model toy.asd",
    "drift": "drift --state-dir state",
    "notify": "notify --help",
    "backup": "backup backup.tar --state-dir state",
    "forget": "forget pump --before 2020-01-01 --yes --state-dir state",
    "support": "support support.tar.gz --log clip.wav --state-dir state",
    "evaluate": "evaluate teams_2020 --year 2020 --ground-truth evaluator_2020",
    "download": "download dcase2020 --year 2020 --machines pump --server SERVER",
    "synth": "synth synthetic --machines fan --clips 4 --test-clips 1 --clip-s 2",
}
CODES = {
    "detectability": (2,),
    "doctor": (0, 4),
    "devices": (0, 4),
    "feedback": (2,),
    "refit": (2,),
    "resend": (7,),
    "calibrate": (2, 3),
    "drift": (7,),
}
"""Exit codes other than 0: there may be no microphone, and there are no events, no recordings to
learn from, no hours of monitoring, nothing to send, and no model learned here."""
REFUSED = {
    "replay": "replay missing",
    "replay of a training run": "replay missing --model run",
    "history --plot": "history --plot pump.png --state-dir state",
    "picture": "picture missing.wav --model missing.asd --out missing.png",
    "train": "train autoencoder missing",
    "export": "export missing --out missing.asd",
    "compare": "compare missing",
    "leaderboard": "leaderboard missing",
    "tune": "tune missing",
    "oracle": "oracle missing",
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What every command did, by its name in the tables; of its help, by the name with --help."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "start").mkdir()
    write_inputs(folder)
    calls = {**WORKING, **REFUSED, **{f"{name} --help": f"{name} --help" for name in COMMANDS}}
    with serving() as server:
        publish(server, folder / "clip.wav")
        lines = [call.replace("SERVER", server.url).split() for call in calls.values()]
        done = subprocess.run(
            [sys.executable, ROOT / "tests" / "rig" / "run_commands.py"],
            input=json.dumps(lines),
            capture_output=True,
            text=True,
            cwd=folder,
            env=environment_without(PACKAGES, folder / "start"),
            timeout=600,
        )
    assert done.returncode == 0, done.stderr
    return dict(zip(calls, json.loads(done.stdout), strict=True))


def test_every_command_is_run() -> None:
    assert {name.split()[0] for name in (*WORKING, *REFUSED)} | ELSEWHERE == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[f"{command} --help"]
    assert (outcome["code"], outcome["stderr"]) == (0, "")
    assert "Example" in outcome["stdout"]


@pytest.mark.parametrize("command", WORKING)
def test_a_command_that_needs_none_of_the_packages_works(
    command: str, outcomes: dict[str, Outcome]
) -> None:
    outcome = outcomes[command]
    assert outcome["code"] in CODES.get(command, (0,)), outcome["stderr"]
    assert "Traceback" not in outcome["stderr"]
    assert "asd-monitor[" not in outcome["stderr"]


@pytest.mark.parametrize("command", REFUSED)
def test_a_command_that_needs_them_says_so_before_any_work(
    command: str, outcomes: dict[str, Outcome]
) -> None:
    outcome = outcomes[command]
    assert (outcome["code"], outcome["stdout"]) == (2, "")
    (line,) = outcome["stderr"].splitlines()
    assert line.startswith(f"asd-monitor: {command} needs packages that are not installed: ")
    assert line.endswith("install them with: pip install 'asd-monitor[offline]'")
