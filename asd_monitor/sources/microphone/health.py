"""Health of a microphone, from the statuses of its capture processes."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from asd_monitor.records import SourceHealth, SourceState
from asd_monitor.sources.microphone.chunk_queue import AudioCounts
from asd_monitor.sources.microphone.identity import MicrophoneIdentity
from asd_monitor.sources.microphone.messages import CaptureStatus

_ACTIVE_STATES = (SourceState.RUNNING, SourceState.SILENT)

logger = logging.getLogger(__name__)


class HealthTracker:
    """The last status of a microphone, and the counts of all its capture processes.

    Parameters
    ----------
    machine
        Name of the machine.
    device
        Name of the device until a capture process has found it.
    sample_rate_hz
        Sample rate of the delivered audio.
    max_delay_s
        Age up to which audio may still be held by the device or the capture process.
    on_change
        Called after each change of state or reason.
    note
        Reported as the reason while there is no other.
    missing_hint
        Added to the reason while the device is missing.
    """

    def __init__(
        self,
        machine: str,
        device: str,
        sample_rate_hz: int,
        max_delay_s: float,
        on_change: Callable[[], None],
        note: str = "",
        missing_hint: str = "",
    ) -> None:
        self._machine = machine
        self._sample_rate_hz = sample_rate_hz
        self._max_delay_s = max_delay_s
        self._on_change = on_change
        self._note = note
        self._missing_hint = missing_hint
        self._lock = threading.Lock()
        self._status = CaptureStatus(SourceState.OPENING, device=device)
        self._past_opens = 0
        self._past_overflows = 0
        self._reported_lost = 0

    @property
    def identity(self) -> MicrophoneIdentity | None:
        """The device that delivers the sound; None until it was found."""
        return self._status.identity

    @property
    def channels(self) -> int | None:
        """Number of channels of the device; None until it was found."""
        return self._status.channels

    def update(self, status: CaptureStatus) -> None:
        """Process a status of the capture process."""
        with self._lock:
            last = self._status
            if last.state is SourceState.CLOSED:
                return
            if status.state is SourceState.OPENING:  # a new process: what is known still holds
                status = replace(last, timeout_s=status.timeout_s)
            status = self._explained(status)
            self._status = status
        changed = (status.state, status.reason) != (last.state, last.reason)
        if changed:
            logger.debug("%s: %s %s", self._machine, status.state, status.reason)
            self._on_change()

    def _explained(self, status: CaptureStatus) -> CaptureStatus:
        """Return the status with the note or the hint in its reason."""
        reason, hint = status.reason, self._missing_hint
        if status.state is SourceState.RUNNING:
            return replace(status, reason=reason or self._note)
        if status.state is SourceState.MISSING and hint and not reason.endswith(hint):
            return replace(status, reason=f"{reason}; {hint}")
        return status

    def mark_unresponsive(self) -> None:
        """Report that the process does not answer, unless its last status explains why."""
        if self._status.state in _ACTIVE_STATES:
            reason = "the capture process does not answer"
            self.update(replace(self._status, state=SourceState.FROZEN, reason=reason))

    def mark_ended(self, reason: str) -> None:
        """Add an ended process's counts to the totals, and report why it ended."""
        status = self._status
        with self._lock:
            self._past_opens += status.opens
            self._past_overflows += status.overflows
            self._status = replace(status, opens=0, overflows=0)
        if status.state is SourceState.MISSING:
            reason = status.reason or reason
        self.update(replace(self._status, state=SourceState.MISSING, reason=reason))

    def mark_closed(self) -> None:
        """Report that the source was closed."""
        self.update(replace(self._status, state=SourceState.CLOSED, reason=""))

    def health(self, counts: AudioCounts, *, estimate_loss: bool) -> SourceHealth:
        """Return the health of the source.

        Parameters
        ----------
        counts
            Counts of its audio.
        estimate_loss
            Count audio that is being lost now, while the device is away, as time passes; the
            clock measures the exact loss once audio arrives again.
        """
        captured_s = counts.audio_end.captured_s
        with self._lock:
            status, lost = self._status, counts.lost_samples
            if estimate_loss and status.state not in _ACTIVE_STATES and captured_s is not None:
                away_s = time.monotonic() - captured_s - self._max_delay_s
                lost += max(0, int(away_s * self._sample_rate_hz))
            self._reported_lost = max(self._reported_lost, lost)
            return SourceHealth(
                machine=self._machine,
                state=status.state,
                reason=status.reason,
                device=status.device,
                samples=counts.delivered_samples,
                lost_samples=self._reported_lost,
                overflows=self._past_overflows + status.overflows,
                reopens=max(0, self._past_opens + status.opens - 1),
                last_audio_at=counts.last_audio_at,
                measured_rate_hz=status.measured_rate_hz,
                rate_hz=status.rate_hz,
            )
