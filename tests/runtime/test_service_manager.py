"""The real program below a service manager: what hangs or needs too much memory is restarted."""

import json
import signal
import sys
from pathlib import Path

import pytest
import soundfile

from tests.rig.mosquitto import wait_until
from tests.rig.service_manager import ServiceManager, Start, memory_limit
from tests.rig.toy_model import RATE_HZ, noise, save_toy

LIMIT_BYTES = 1_500_000_000
"""The program needs a third of it."""


def write_config(folder: Path) -> list[object]:
    """Write the configuration of a machine with a model; return the command."""
    soundfile.write(folder / "sound.wav", noise(100).reshape(-1), RATE_HZ)
    wav = {"paths": [str(folder / "sound.wav")], "loop": True}
    machine = {"wav": wav, "model": str(save_toy(folder / "toy.asd"))}
    options: dict[str, object] = {"machines": {"pump": machine}, "state_dir": str(folder / "state")}
    options |= dict.fromkeys(("mqtt", "prometheus", "web", "history"))
    (folder / "pump.yaml").write_text(json.dumps(options))
    return [sys.executable, "-m", "asd_monitor.cli", "run", "--config", folder / "pump.yaml"]


def wait_for_start(manager: ServiceManager, earlier: int) -> Start:
    """Return a process that monitors, other than these earlier ones; wait for it."""
    try:
        wait_until(
            lambda: any(start.was_ready for start in manager.starts[earlier:]), "a start", 300.0
        )
    except AssertionError as error:
        error.add_note(manager.log.read_text())
        raise
    return next(start for start in manager.starts[earlier:] if start.was_ready)


@pytest.mark.real_time
def test_a_monitor_that_hangs_is_restarted_by_its_watchdog(tmp_path: Path) -> None:
    with ServiceManager(tmp_path, write_config(tmp_path), watchdog_s=4.0) as manager:
        first = wait_for_start(manager, 0)
        first.process.send_signal(signal.SIGSTOP)
        wait_for_start(manager, manager.starts.index(first) + 1)
    assert first.missed_watchdog
    assert first.process.returncode == -signal.SIGKILL


def test_a_monitor_that_exceeds_its_limit_on_memory_is_ended_and_restarted(tmp_path: Path) -> None:
    with memory_limit(LIMIT_BYTES) as group:
        command = group.command(write_config(tmp_path))
        with ServiceManager(tmp_path, command, watchdog_s=600.0) as manager:
            first = wait_for_start(manager, 0)  # it fits
            with group.filled(LIMIT_BYTES - 100_000_000):
                wait_until(lambda: first.process.returncode is not None, "the end")
            assert first.process.returncode == -signal.SIGKILL
            wait_for_start(manager, 1)
    assert manager.starts[-1].process.returncode == 0
