"""The audio source of the demo: a simulated pump that follows a scenario."""

import threading
import time
from collections.abc import Callable

import numpy as np

from asd_monitor.demo.pump_sound import PumpSound
from asd_monitor.demo.scenario import Scenario
from asd_monitor.records import AudioChunk, Record, SourceHealth, SourceState, State, Transition

SAMPLE_RATE_HZ = 16_000
BLOCK_S = 0.1
MAX_AHEAD_S = 20.0
"""While the machine is learned, at most this much sound is generated ahead of its reader."""
READ_TIMEOUT_S = 1.0
CLOSE_TIMEOUT_S = 2.0


class DemoSource:
    """Generate the pump's sound: unpaced while it is learned, in real time afterwards.

    It is also a sink: the transition out of the state LEARNING starts the scenario.

    Parameters
    ----------
    machine
        Name of the machine.
    scenario
        What happens to the machine once it is monitored.
    learn_s
        Seconds of sound to learn from.
    seed
        Seed of the sound.
    """

    def __init__(self, machine: str, scenario: Scenario, learn_s: float, seed: int = 1) -> None:
        self.machine = machine
        self.scenario_started_at: float | None = None
        """Seconds since the epoch."""
        self.event_id = ""
        """The newest event of the machine; empty before the first."""
        self._scenario_started_s: float | None = None
        self._scenario, self._learn_s = scenario, learn_s
        self._on_phase_change: Callable[[str], None] = lambda _: None
        self._sound = PumpSound(seed, SAMPLE_RATE_HZ)
        self._chunks: list[AudioChunk] = []
        self._lock = threading.Lock()
        self._next_start = 0
        self._wake: Callable[[], None] = lambda: None
        self._closed = threading.Event()
        self._read = threading.Event()
        self._learned = threading.Event()
        self._thread = threading.Thread(target=self._play, name="demo-machine", daemon=True)

    def on_phase_change(self, callback: Callable[[str], None]) -> None:
        """Call this with the description of each phase as it begins, from the source's thread."""
        self._on_phase_change = callback

    def finished(self) -> bool:
        """Return whether the scenario has ended."""
        started_s = self._scenario_started_s
        return started_s is not None and time.monotonic() - started_s >= self._scenario.ends_s

    def open(self, wake: Callable[[], None] | None = None) -> None:
        """Start to play; as a sink (without ``wake``), do nothing."""
        if wake is not None:
            self._wake = wake
            self._thread.start()

    def expect_windows(self, end: int, hop_samples: int) -> None:
        """Do nothing: chunks are short enough anyway."""

    def emit(self, record: Record) -> None:
        """Start the scenario when the model is ready, and keep the id of the event."""
        if isinstance(record, Transition):
            self.event_id = record.event_id or self.event_id
            if record.previous is State.LEARNING:
                self._learned.set()

    def read(self) -> list[AudioChunk]:
        """Return the audio since the last call."""
        with self._lock:
            chunks, self._chunks = self._chunks, []
        self._read.set()
        return chunks

    def health(self) -> SourceHealth:
        """Return the state of a microphone that never fails."""
        is_playing = self._thread.is_alive()
        state = SourceState.RUNNING if is_playing else SourceState.OPENING
        return SourceHealth(
            machine=self.machine,
            state=SourceState.CLOSED if self._closed.is_set() else state,
            reason="",
            device="demo sound",
            samples=self._next_start,
            lost_samples=0,
            overflows=0,
            reopens=0,
            last_audio_at=time.time() if is_playing else None,
        )

    def close(self) -> None:
        """Stop playing; may be called twice."""
        self._closed.set()
        self._learned.set()
        self._read.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_TIMEOUT_S)

    def _play(self) -> None:
        block = round(BLOCK_S * SAMPLE_RATE_HZ)
        while self._next_start < self._learn_s * SAMPLE_RATE_HZ and not self._closed.is_set():
            self._deliver(block, 0.0)
            if self._unread_s() > MAX_AHEAD_S:
                self._read.clear()
                self._read.wait(READ_TIMEOUT_S)
        self._learned.wait()
        self._scenario_started_s = started_s = time.monotonic()
        self.scenario_started_at, phase = time.time(), ""
        blocks = 0
        while not self._closed.wait(
            max(0.0, started_s + (blocks + 1) * BLOCK_S - time.monotonic())
        ):
            at_s = blocks * BLOCK_S
            if self._scenario.phase(at_s) != phase:
                phase = self._scenario.phase(at_s)
                self._on_phase_change(phase)
            self._deliver(block, self._scenario.fault_level(at_s))
            blocks += 1

    def _unread_s(self) -> float:
        with self._lock:
            return len(self._chunks) * BLOCK_S

    def _deliver(self, block: int, fault_level: float) -> None:
        samples = np.asarray(self._sound.block(self._next_start, block, fault_level), np.float32)
        samples.flags.writeable = False
        with self._lock:
            self._chunks.append(AudioChunk(samples, self._next_start, time.time()))
        self._next_start += block
        self._wake()
