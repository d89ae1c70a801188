"""The real program below a service manager: what hangs or needs too much memory is restarted.

Its alarm continues: it is raised by loud sound, and the next process has normal sound only.
"""

import json
import signal
import sys
from pathlib import Path

import pytest
import soundfile

from asd_monitor.records import State
from asd_monitor.runtime.alarm_store import StoredAlarm
from tests.rig.mosquitto import wait_until
from tests.rig.service_manager import ServiceManager, Start, memory_limit
from tests.rig.toy_model import RATE_HZ, noise, save_toy

LIMIT_BYTES = 1_500_000_000
"""The program needs a third of it."""


NORMAL_DBFS = -26.0
LOUD_DBFS = -6.0


def write_sound(folder: Path, level_dbfs: float) -> None:
    """Write what the machine sounds like from the next start on."""
    soundfile.write(folder / "new.wav", noise(100, level_dbfs).reshape(-1), RATE_HZ)
    (folder / "new.wav").replace(folder / "sound.wav")


def write_config(folder: Path) -> list[object]:
    """Write the configuration of a machine whose sound raises an alarm; return the command."""
    write_sound(folder, LOUD_DBFS)
    machine = {
        "wav": {"paths": [str(folder / "sound.wav")], "loop": True},
        "model": str(save_toy(folder / "toy.asd")),
        "alarm": {"min_duration_s": 0, "hold_s": 3600},
    }
    options: dict[str, object] = {"machines": {"pump": machine}, "state_dir": str(folder / "state")}
    options |= dict.fromkeys(("mqtt", "prometheus", "web", "history"))
    (folder / "pump.yaml").write_text(json.dumps(options))
    return [sys.executable, "-m", "asd_monitor.cli", "run", "--config", folder / "pump.yaml"]


def wait_for_alarm(manager: ServiceManager, earlier: int) -> Start:
    """Return a process that reports an alarm, other than these earlier ones; wait for it."""

    def find() -> Start | None:
        reporting = (start for start in manager.starts[earlier:] if "pump ALARM" in start.status)
        return next(reporting, None)

    try:
        wait_until(lambda: find() is not None, "an alarm", 300.0)
    except AssertionError as error:
        error.add_note(manager.log.read_text())
        raise
    found = find()
    assert found is not None
    return found


def read_alarm(folder: Path) -> StoredAlarm | None:
    """Return the alarm that is kept for the next start; None if there is none."""
    path = folder / "state/alarms/pump.json"
    stored = StoredAlarm.model_validate_json(path.read_bytes()) if path.exists() else None
    return stored if stored is not None and stored.memory.state is State.ALARM else None


def wait_for_kept_alarm(folder: Path) -> StoredAlarm:
    """Return the alarm that is kept for the next start; wait for it."""
    wait_until(lambda: read_alarm(folder) is not None, "the file of the alarm")
    stored = read_alarm(folder)
    assert stored is not None
    return stored


def check_continued(folder: Path, before: StoredAlarm) -> None:
    """The alarm after the restart is that from before, not another one."""
    after = read_alarm(folder)
    assert after is not None
    assert after.written_at > before.written_at
    assert after.memory.standing == before.memory.standing
    assert after.event_id == before.event_id != ""


@pytest.mark.real_time
def test_a_monitor_that_hangs_is_restarted_by_its_watchdog_and_its_alarm_continues(
    tmp_path: Path,
) -> None:
    with ServiceManager(tmp_path, write_config(tmp_path), watchdog_s=4.0) as manager:
        first = wait_for_alarm(manager, 0)
        before = wait_for_kept_alarm(tmp_path)
        write_sound(tmp_path, NORMAL_DBFS)
        first.process.send_signal(signal.SIGSTOP)
        wait_for_alarm(manager, manager.starts.index(first) + 1)
    assert first.missed_watchdog
    assert first.process.returncode == -signal.SIGKILL
    check_continued(tmp_path, before)


def test_a_monitor_that_exceeds_its_limit_on_memory_is_restarted_and_its_alarm_continues(
    tmp_path: Path,
) -> None:
    with memory_limit(LIMIT_BYTES) as group:
        command = group.command(write_config(tmp_path))
        with ServiceManager(tmp_path, command, watchdog_s=600.0) as manager:
            first = wait_for_alarm(manager, 0)  # it fits
            before = wait_for_kept_alarm(tmp_path)
            write_sound(tmp_path, NORMAL_DBFS)
            with group.filled(LIMIT_BYTES - 100_000_000):
                wait_until(lambda: first.process.returncode is not None, "the end")
            assert first.process.returncode == -signal.SIGKILL
            wait_for_alarm(manager, 1)
    assert manager.starts[-1].process.returncode == 0
    check_continued(tmp_path, before)
