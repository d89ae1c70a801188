"""The capture process of a microphone: stalls, hangs and exits, and what the monitor does."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from asd_monitor.records import SourceState
from asd_monitor.sources.microphone.child_process import CaptureProcess, start_capture
from asd_monitor.sources.microphone.messages import CaptureOptions, WindowEnds
from tests.rig.listening import SoundIndex, noise
from tests.rig.microphone_process import (
    RATE_HZ,
    assert_every_loss_is_counted_once,
    assert_starts_are_true_positions,
    capture_process,
    listening,
)
from tests.rig.virtual_microphone import (
    MakeMicrophones,
    VirtualSound,
)


def test_audio_lost_by_a_stall_is_counted_by_the_clock(
    virtual_microphones: MakeMicrophones,
) -> None:
    sound = noise(60, RATE_HZ)
    virtual_microphones(pump=VirtualSound(sound, RATE_HZ))
    with listening("pump", latency_s=0.5) as listener:
        listener.until_more(RATE_HZ)
        stalled = capture_process()
        stalled.suspend()
        time.sleep(1.3)
        stalled.resume()
        health = listener.until(lambda: bool(listener.gaps), "a gap")
        health = listener.until_more(RATE_HZ)
    assert health.overflows >= 1
    assert health.reopens == 0
    assert_starts_are_true_positions(listener, SoundIndex(sound))
    assert_every_loss_is_counted_once(listener)


def test_a_stall_shorter_than_the_latency_loses_nothing(
    virtual_microphones: MakeMicrophones,
) -> None:
    sound = noise(60, RATE_HZ)
    virtual_microphones(pump=VirtualSound(sound, RATE_HZ))
    with listening("pump", latency_s=2.0) as listener:
        listener.until_more(RATE_HZ)
        stalled = capture_process()
        began_s = time.monotonic()
        stalled.suspend()
        time.sleep(0.8)
        stalled.resume()
        stalled_s = time.monotonic() - began_s
        listener.until_more(2 * RATE_HZ)
    if stalled_s > 1.5:
        pytest.skip(f"on this busy computer the stall took {stalled_s:.1f} s")
    assert listener.gaps == []
    np.testing.assert_array_equal(
        listener.samples, sound[: listener.count].astype(np.float32) / 32768
    )


def test_audio_is_sent_when_it_completes_a_window(
    virtual_microphones: MakeMicrophones,
) -> None:
    """Callbacks come every 75 ms; a process woken by each would send 13 chunks per second."""
    virtual_microphones(pump=VirtualSound(noise(20, 48000), 48000))
    with listening("pump") as listener:
        listener.until_more(1)
        listener.source.expect_windows(end := listener.count + 777, RATE_HZ)
        listener.until_more(RATE_HZ)
        first = len(listener.chunks)
        listener.until_more(4 * RATE_HZ)
        ends = [chunk.start + len(chunk.samples) - end for chunk in listener.chunks[first - 1 :]]
        completing = [b // RATE_HZ > a // RATE_HZ for a, b in itertools.pairwise(ends)]
        assert sum(completing) > len(completing) / 2
        assert_every_loss_is_counted_once(listener)


def test_a_restarted_capture_process_knows_the_window_ends(
    virtual_microphones: MakeMicrophones,
) -> None:
    virtual_microphones(pump=VirtualSound(noise(20, 48000), 48000))
    with listening("pump") as listener:
        listener.source.expect_windows(RATE_HZ, RATE_HZ)
        listener.until_more(1)
        capture_process().kill()
        listener.until(lambda: listener.source.health().reopens > 0, "the next process")
        options = CaptureOptions.from_json(capture_process().cmdline()[-1])
        assert options.tracks[0].window_ends == WindowEnds(RATE_HZ, RATE_HZ)
        listener.until_more(2 * RATE_HZ)
        assert_every_loss_is_counted_once(listener)


def test_a_killed_capture_process_is_restarted(virtual_microphones: MakeMicrophones) -> None:
    sound = noise(60, RATE_HZ)
    virtual_microphones(pump=VirtualSound(sound, RATE_HZ))
    with listening("pump") as listener:
        listener.until_more(RATE_HZ // 2)
        killed = capture_process()
        killed.kill()
        health = listener.until_state(SourceState.MISSING)
        assert "exit code -9" in health.reason
        listener.until_state(SourceState.RUNNING)
        health = listener.until_more(RATE_HZ // 2)
        assert capture_process() != killed
    assert health.reopens == 1
    assert_starts_are_true_positions(listener, SoundIndex(sound))
    assert_every_loss_is_counted_once(listener)


def test_a_hanging_capture_process_is_replaced(virtual_microphones: MakeMicrophones) -> None:
    virtual_microphones(pump=VirtualSound(noise(60, RATE_HZ), RATE_HZ))
    with listening("pump") as listener:
        listener.until_more(RATE_HZ // 4)
        hanging = capture_process()
        hanging.suspend()
        health = listener.until_state(SourceState.FROZEN)
        assert "does not answer" in health.reason
        listener.until_state(SourceState.MISSING)
        listener.until_state(SourceState.RUNNING)
        assert not hanging.is_running()


class Unkillable(subprocess.Popen[bytes]):
    """A process that hangs inside the kernel, where signals do not reach it."""

    def kill(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("kind", [subprocess.Popen, Unkillable])
def test_a_capture_process_that_hangs_in_its_exit_does_not_delay_the_next(
    virtual_microphones: MakeMicrophones,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[subprocess.Popen[bytes]],
) -> None:
    virtual_microphones(pump=VirtualSound(noise(60, RATE_HZ), RATE_HZ))
    script = "import os, time; os.close(1); time.sleep(600)"
    hanging = kind([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    processes = [CaptureProcess(hanging)]

    def start(options: CaptureOptions) -> CaptureProcess:
        return processes.pop() if processes else start_capture(options)

    monkeypatch.setattr("asd_monitor.sources.microphone.device_capture.start_capture", start)
    try:
        with listening("pump") as listener:
            health = listener.until_state(SourceState.MISSING)
            assert "hangs in its exit" in health.reason
            listener.until_state(SourceState.RUNNING)
            listener.until_more(RATE_HZ // 4)
        assert (hanging.poll() is None) == (kind is Unkillable)
    finally:
        subprocess.Popen.kill(hanging)
        hanging.wait()


def test_audio_that_is_not_read_is_dropped_oldest_first_and_reported_as_a_gap(
    virtual_microphones: MakeMicrophones, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_monitor.sources.microphone.chunk_queue.QUEUE_S", 0.5)
    sound = noise(60, RATE_HZ)
    virtual_microphones(pump=VirtualSound(sound, RATE_HZ))
    with listening("pump") as listener:
        listener.until_more(1)
        listener.until(lambda: listener.source.health().lost_samples == 0, "nothing lost")
        while listener.source.health().lost_samples == 0:
            time.sleep(0.05)
        listener.until_more(RATE_HZ // 4)
    assert SoundIndex(sound).errors(listener.chunks) == [0] * len(listener.chunks)
    assert_every_loss_is_counted_once(listener)


def test_the_capture_process_ends_with_the_monitor(
    virtual_microphones: MakeMicrophones, tmp_path: Path
) -> None:
    mics = virtual_microphones(pump=VirtualSound(noise(10, RATE_HZ), RATE_HZ))
    script = tmp_path / "monitor.py"
    script.write_text(
        "import time\n"
        "from asd_monitor.sources.microphone.settings import MicrophoneSettings\n"
        "from asd_monitor.sources.microphone.source import MicrophoneSource\n"
        "source = MicrophoneSource('pump', MicrophoneSettings(device='pump'), 16000)\n"
        "source.open(lambda: None)\n"
        "while not source.read():\n"
        "    time.sleep(0.05)\n"
        "print('received', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, script],
        env=mics.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as monitor:
        assert monitor.stdout is not None
        assert monitor.stderr is not None
        assert monitor.stdout.readline() == "received\n"
        child = capture_process(monitor.pid)
        child.suspend()  # even if it cannot notice by itself
        os.kill(monitor.pid, signal.SIGKILL)
        psutil.wait_procs([child], timeout=400)
        assert not child.is_running()
        assert monitor.stderr.read() == ""


def test_the_capture_process_stays_small() -> None:
    script = (
        "import sys, asd_monitor.sources.microphone.capture_main\n"
        "print(sorted({'torch', 'pydantic', 'sounddevice', 'soundfile'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == "[]\n"
