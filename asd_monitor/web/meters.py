"""Levels of the microphones while a page shows them, from one capture of each device."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from asd_monitor.errors import SourceError
from asd_monitor.records import FloatArray, SourceState
from asd_monitor.sources.microphone.device_capture import DeviceCapture, DeviceCaptures
from asd_monitor.sources.microphone.devices import Microphone, list_microphones
from asd_monitor.sources.microphone.settings import MicrophoneSettings
from asd_monitor.sources.microphone.source import MicrophoneSource
from asd_monitor.web.microphone_list import Input, list_inputs, metered
from asd_monitor.web.setup import UsedInput
from asd_monitor.web.sound_check import find_warnings, suspects_gain_control
from asd_monitor.web.spectrum import Rings

RATE_HZ = 16_000
LATENCY_S = 0.2
INTERVAL_S = 0.1
FRAME_S = 0.1
KEPT_S = 3.0
LEVELS_KEPT = 150
CHECK_INTERVAL_S = 1.0
MAX_DEVICES = 8
"""Devices captured at the same time; each needs a process of about 60 MB."""
FLOOR_DBFS = -100.0
GAIN_CONTROL = (
    "The background became quieter after a loud sound and rose again: is an automatic gain control "
    "on? Turn it off (`alsamixer`), because it hides changes of the machine."
)


@dataclass
class _Meter:
    """What is known of one input while it is captured."""

    input: Input
    source: MicrophoneSource
    samples: FloatArray = field(default_factory=lambda: np.zeros(0, np.float32))
    levels_dbfs: deque[float] = field(default_factory=lambda: deque(maxlen=LEVELS_KEPT))
    peak_dbfs: float = FLOOR_DBFS
    warnings: list[str] = field(default_factory=list)
    checked_at: float = float("-inf")

    def read(self, now: float) -> None:
        """Take the newest sound, and look at it once a second."""
        for chunk in self.source.read():
            self.samples = np.concatenate([self.samples, chunk.samples])[-round(KEPT_S * RATE_HZ) :]
            frame = round(FRAME_S * RATE_HZ)
            for start in range(0, len(chunk.samples), frame):
                part = chunk.samples[start : start + frame]
                self.levels_dbfs.append(to_dbfs(part))
                self.peak_dbfs = _decibels(float(np.max(np.abs(part), initial=0.0)))
        if now - self.checked_at >= CHECK_INTERVAL_S and len(self.samples) >= RATE_HZ:
            self.checked_at = now
            self.warnings = find_warnings(self.samples, RATE_HZ)
            if suspects_gain_control(np.array(self.levels_dbfs), FRAME_S):
                self.warnings.append(GAIN_CONTROL)

    def describe(self) -> dict[str, Any]:
        health = self.source.health()
        is_running = health.state in (SourceState.RUNNING, SourceState.SILENT)
        problem = "" if is_running or health.state is SourceState.OPENING else health.reason
        return {
            "level_dbfs": round(self.levels_dbfs[-1], 1) if self.levels_dbfs else None,
            "peak_dbfs": round(self.peak_dbfs, 1),
            "warnings": [problem] if problem else self.warnings,
        }


class Meters:
    """Capture the free microphones while at least one page shows their levels.

    Parameters
    ----------
    in_use
        Returns the inputs that machines use.
    names
        Names of the machines for people, by id.
    rings
        The newest sound of the machines, from which their levels are taken.
    capture_of
        Returns the capture of a device that a machine uses, which the levels of its other
        channels join; None for one in no use.
    list_devices
        Lists the microphones of this computer.
    monotonic
        Clock that never jumps, in seconds.
    """

    def __init__(
        self,
        in_use: Callable[[], Sequence[UsedInput]],
        names: Mapping[str, str],
        rings: Rings,
        *,
        capture_of: Callable[[str], DeviceCapture | None] = lambda _device: None,
        list_devices: Callable[[], list[Microphone]] = list_microphones,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._in_use = in_use
        self._names = names
        self._rings = rings
        self._capture_of = capture_of
        self._list_devices = list_devices
        self._monotonic = monotonic
        self._lock = threading.Lock()  # guards all below
        self._inputs: list[Input] | None = None
        self._meters: list[_Meter] = []
        self._viewers = 0

    @property
    def viewers(self) -> int:
        """Number of pages that show levels."""
        return self._viewers

    def inputs(self, *, again: bool = False) -> list[Input]:
        """Return the inputs of this computer.

        Parameters
        ----------
        again
            Look for devices again; otherwise those that are captured are known already.

        Raises
        ------
        SourceError
            If the microphones cannot be listed.
        """
        with self._lock:
            if again or self._inputs is None or not self._meters:
                self._close_meters()  # a device that is captured is listed as in use
                self._inputs = list_inputs(self._list_devices(), self._in_use(), self._names)
                if self._viewers:
                    self._open_meters()
            return list(self._inputs)

    def open(self) -> None:
        """Begin to capture, for a page, which must call :meth:`close`."""
        with self._lock:
            self._viewers += 1
            if self._inputs is None:
                with suppress(SourceError):  # the page itself says so
                    self._inputs = list_inputs(self._list_devices(), self._in_use(), self._names)
            if not self._meters:
                self._open_meters()

    def close(self) -> None:
        """End the capture when no page shows levels any more."""
        with self._lock:
            self._viewers -= 1
            if self._viewers <= 0:
                self._close_meters()

    def release(self) -> None:
        """End the capture at once, because a machine is to use a device."""
        with self._lock:
            self._close_meters()
            self._inputs = None

    def read(self) -> dict[str, dict[str, Any]]:
        """Return level, peak and warnings of each input that is captured or used by a machine."""
        with self._lock:
            now = self._monotonic()
            for meter in self._meters:
                meter.read(now)
            described = {meter.input.key: meter.describe() for meter in self._meters}
            for used in self._inputs or ():
                if used.machine in self._rings:
                    described[used.key] = self._describe_ring(used.machine)
        return described

    def _describe_ring(self, machine: str) -> dict[str, Any]:
        ring = self._rings[machine]
        cut = ring.cut(ring.end - round(FRAME_S * 2 * ring.sample_rate_hz), ring.end).to_float()
        peak = _decibels(float(np.max(np.abs(cut), initial=0.0)))
        return {"level_dbfs": round(to_dbfs(cut), 1), "peak_dbfs": round(peak, 1), "warnings": []}

    def _open_meters(self) -> None:
        captures = DeviceCaptures()
        chosen: Sequence[Input] = metered(self._inputs or [], MAX_DEVICES)
        for each in chosen:
            settings = MicrophoneSettings(
                device=each.device, channel=each.channel, latency_s=LATENCY_S
            )
            capture = self._capture_of(each.device) or captures.of(settings)
            source = MicrophoneSource(f"level of {each.name}", settings, RATE_HZ, capture=capture)
            self._meters.append(_Meter(each, source))
        for meter in self._meters:
            meter.source.open(lambda: None)

    def _close_meters(self) -> None:
        meters, self._meters = self._meters, []
        for meter in meters:
            meter.source.close()


def to_dbfs(samples: FloatArray) -> float:
    """Return the level of samples without their mean, at least -100."""
    if not len(samples):
        return FLOOR_DBFS
    return _decibels(float(np.std(samples)))


def _decibels(value: float) -> float:
    return max(FLOOR_DBFS, 20 * math.log10(value)) if value > 0 else FLOOR_DBFS
