"""Learning on another computer over ssh: with a stand-in for ssh that runs commands here."""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_monitor import model_file
from asd_monitor.config import from_options
from asd_monitor.demo.pump_sound import PumpSound
from asd_monitor.errors import ConfigError, ModelFileError
from asd_monitor.progress import NoProgress
from asd_monitor.quickstart import Recording
from asd_monitor.runtime.learning import LearningTask, learn_here
from asd_monitor.runtime.learning_stream import read_stream, write_stream
from asd_monitor.runtime.remote_learning import check_remote, learn_remotely
from tests.rig.hidden_packages import environment_without
from tests.rig.stand_in_ssh import StandInSsh

RATE_HZ = 16_000
TASK = LearningTask("pump", RATE_HZ, 2.0, None, {"recorded_at_hz": [48_000]})


def recordings(count: int = 3) -> list[Recording]:
    pump = PumpSound(3, RATE_HZ)
    return [
        Recording(f"{i}.wav", pump.block(i * 10 * RATE_HZ, 10 * RATE_HZ, 0.0), "today", 10.0 * i)
        for i in range(count)
    ]


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandInSsh:
    ssh = StandInSsh(tmp_path / "ssh", {"PYTHONPATH": os.environ.get("PYTHONPATH", "")})
    monkeypatch.setenv("PATH", ssh.environment["PATH"])
    return ssh


def stream(task: LearningTask, sound: list[Recording]) -> bytes:
    content = io.BytesIO()
    write_stream(content, task, sound)
    return content.getvalue()


@pytest.mark.timeout(600)  # three programs start
def test_a_computer_without_torch_learns_on_another_one(tmp_path: Path, ssh: StandInSsh) -> None:
    ssh.install()
    sound = tmp_path / "sound"
    sound.mkdir()
    for recording in recordings():
        soundfile.write(sound / recording.name, recording.samples, RATE_HZ)
    start = tmp_path / "start"
    start.mkdir()
    hidden = environment_without({"torch", "torchaudio"}, start)
    done = subprocess.run(
        [sys.executable, "-m", "asd_monitor.cli", "learn", "--wav", str(sound), "--machine", "pump",
         "--remote", "ml@trainer", "--minutes", "0.5", "--window", "2", "--state-dir",
         str(tmp_path / "state"), "--json"],
        env={**hidden, "PATH": ssh.environment["PATH"]},
        capture_output=True,
        text=True,
        timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    path = Path(json.loads(done.stdout)["models"]["pump"])
    assert [call.rpartition(" -- ")[2] for call in ssh.calls] == 2 * [
        "ml@trainer asd-monitor learn --stream"
    ]
    stored = sorted((tmp_path / "state" / "recordings").rglob("*.wav"))
    kept = [
        Recording(file.name, soundfile.read(file, dtype="float32")[0], f"{i}.wav", 10.0 * i)
        for i, file in enumerate(stored)
    ]
    assert sum(len(each.samples) for each in kept) == 30 * RATE_HZ
    # It is the model that a computer with torch would have learned from the same sound.
    found = model_file.load(path, "cpu")
    expected = tmp_path / "expected.asd"
    expected.write_bytes(learn_here(TASK, kept, NoProgress()).content)
    windows = np.stack([kept[0].samples[: 2 * RATE_HZ], kept[2].samples[-2 * RATE_HZ :]])
    targets = np.zeros(2, np.int64)
    np.testing.assert_allclose(
        found.score(windows, targets), model_file.load(expected).score(windows, targets), rtol=1e-4
    )


def test_a_stream_keeps_samples_and_their_origin() -> None:
    sound = recordings(2)
    with read_stream(io.BufferedReader(io.BytesIO(stream(TASK, sound)))) as received:
        assert received is not None
        task, found = received
        assert task == TASK
        for recording, expected in zip(found, sound, strict=True):
            np.testing.assert_array_equal(recording.samples, expected.samples)
            assert (recording.name, recording.session) == (expected.name, expected.session)
            assert (recording.start_s, recording.is_confirmed) == (expected.start_s, False)


@pytest.mark.parametrize("length", [3, 700, 100_000])
def test_a_stream_that_is_cut_short_is_refused(length: int) -> None:
    content = stream(TASK, recordings(2))[:length]
    with (
        pytest.raises(ConfigError, match=r"learn --remote"),
        read_stream(io.BufferedReader(io.BytesIO(content))),
    ):
        pass


def test_a_stream_of_another_version_is_refused() -> None:
    content = stream(TASK, []).replace(b'"format": 1', b'"format": 9')
    with (
        pytest.raises(ConfigError, match=r"expected format 1, found 9.*same version"),
        read_stream(io.BufferedReader(io.BytesIO(content))),
    ):
        pass


def test_the_other_program_is_found_by_its_path(tmp_path: Path, ssh: StandInSsh) -> None:
    program = tmp_path / "asd-monitor"
    program.write_text(f"#!/bin/sh\necho $@ > {tmp_path}/arguments\n")
    program.chmod(0o755)
    check_remote(f"trainer:{program}")
    assert (tmp_path / "arguments").read_text() == "learn --stream\n"


FAILURES = {
    "no connection": (
        "echo 'ssh: connect to host trainer: Connection refused' >&2; exit 255",
        r"ssh cannot connect: ssh: connect to host trainer: Connection refused; try `ssh trainer`",
    ),
    "no program": ("echo 'sh: asd-monitor: not found' >&2; exit 127", r"trainer:/PATH/OF/"),
    "an older program": (
        "printf 'Usage: x\\n╭─ Error ─╮\\n│ No such option: --stream │\\n╰───╯\\n' >&2; exit 2",
        "older; install the version",
    ),
    "no torch": (
        "echo 'asd-monitor: learn needs torch, which is not installed' >&2; exit 2",
        r"learning on trainer failed: learn needs torch",
    ),
    "a crash": ("kill -9 $$", "exit code"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_found_before_anything_is_recorded(failure: str, ssh: StandInSsh) -> None:
    script, message = FAILURES[failure]
    ssh.replace(script)
    with pytest.raises(ConfigError, match=message):
        check_remote("trainer")


def test_without_ssh_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="install openssh-client"):
        check_remote("trainer")


def test_an_answer_that_is_no_model_file_is_refused(ssh: StandInSsh) -> None:
    ssh.replace("cat > /dev/null; echo hello")
    with pytest.raises(ModelFileError, match=r"pump\.asd from trainer"):
        learn_remotely("trainer", TASK, recordings(1), NoProgress())


def test_a_model_of_another_machine_is_refused(tmp_path: Path, ssh: StandInSsh) -> None:
    fan = LearningTask("fan", RATE_HZ, 2.0)
    (tmp_path / "fan.asd").write_bytes(learn_here(fan, recordings(), NoProgress()).content)
    ssh.replace(f"cat > /dev/null; cat {tmp_path / 'fan.asd'}")
    with pytest.raises(ModelFileError, match="expected a model of pump at 16000 Hz, found fan"):
        learn_remotely("trainer", TASK, recordings(1), NoProgress())


class _AbortedError(Exception):
    pass


class _AbortAfterProgress(NoProgress):
    """Raises when the other computer has reported that it fits."""

    def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
        if stage == "fit":
            raise _AbortedError


def test_an_abort_ends_ssh_and_what_it_started(tmp_path: Path, ssh: StandInSsh) -> None:
    line = json.dumps({"asd-monitor-progress": ["fit", 0.1, 1.0, ""]})
    ssh.replace(
        f"cat > /dev/null; sleep 1000 & echo $! > {tmp_path / 'pid'}; echo '{line}' >&2; wait"
    )
    with pytest.raises(_AbortedError):
        learn_remotely("trainer", TASK, recordings(1), _AbortAfterProgress())
    process = Path("/proc") / (tmp_path / "pid").read_text().strip()
    deadline = time.monotonic() + 60
    while process.exists() and "State:\tZ" not in (process / "status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("address", ["-oProxyCommand=x", "a b", "host:program", "host;x", ""])
def test_an_address_that_a_shell_or_ssh_would_misread_is_refused(address: str) -> None:
    options = {"machines": {"pump": {"mic": 0}}, "learn": {"remote": address}}
    with pytest.raises(ConfigError, match=r"learn\.remote: expected HOST or HOST:/PATH"):
        from_options(options)


@pytest.mark.parametrize(
    "address", ["ml@server", "server:~/asd/bin/asd-monitor", "trainer.plant-1"]
)
def test_addresses_of_ssh_are_accepted(address: str) -> None:
    options = {"machines": {"pump": {"mic": 0}}, "learn": {"remote": address}}
    assert from_options(options).learn_of("pump").remote == address
