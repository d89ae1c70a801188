"""The command prints its findings and ends with their exit code."""

import json
import subprocess
import sys
from pathlib import Path

from asd_monitor import __version__
from asd_monitor.errors import SourceError
from tests.doctor.findings import pcm
from tests.rig.mosquitto import Mosquitto
from tests.rig.ports import free_port
from tests.rig.toy_model import save_toy
from tests.rig.virtual_microphone import MakeMicrophones, VirtualSound


def doctor(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "asd_monitor.cli", "doctor", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=400)


def test_the_command_reports_a_working_system_in_one_document(
    virtual_microphones: MakeMicrophones, tmp_path: Path
) -> None:
    virtual_microphones(pump=VirtualSound(pcm(-30.0)))
    document: dict[str, object] = {
        "machines": {
            "pump": {
                "mic": "pump",
                "model": str(save_toy(tmp_path / "toy.asd")),
                "target": "pump",
            }
        },
        "state_dir": str(tmp_path / "state"),
        "prometheus": {"port": free_port()},
        "web": None,
    }
    with Mosquitto(tmp_path) as broker:
        document["mqtt"] = {"host": "127.0.0.1", "port": broker.port}
        config = tmp_path / "monitor.yaml"
        config.write_text(json.dumps(document))
        done = doctor("--config", config, "--json")
    result = json.loads(done.stdout)
    assert (done.returncode, result["exit_code"]) == (0, 0), result
    assert (result["schema"], result["version"]) == (1, __version__)
    checks = {check["check"] for check in result["checks"]}
    assert checks >= {"python", "torch", "portaudio", "pace", "sound", "model speed", "disk"}
    assert "failed" not in {check["status"] for check in result["checks"]}


def test_the_command_prints_line_by_line_and_ends_with_the_code(
    virtual_microphones: MakeMicrophones, tmp_path: Path
) -> None:
    virtual_microphones()
    done = doctor("--mqtt", "off", "--metrics", "off", "--state-dir", tmp_path, "--mic", "0")
    assert done.returncode == SourceError.exit_code
    lines = done.stdout.splitlines()
    assert any(line.startswith("failed   devices") for line in lines)
    assert "-> is it plugged in" in done.stdout
    assert lines[-1].split()[1] == "failed,"
    assert done.stderr == ""


def test_a_wrong_configuration_is_one_line(tmp_path: Path) -> None:
    done = doctor("--config", tmp_path / "none.yaml")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
