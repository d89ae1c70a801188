"""The process that captures one microphone; started by ``MicrophoneSource``, never by a person.

A process of its own, because PortAudio sees a new device only after it was initialised again,
which ends every stream of its process; because a driver that hangs can only be killed; and
because a callback in Python needs the interpreter lock, which the monitor may hold for long.
It imports neither torch nor the rest of the monitor.
"""

import contextlib
import ctypes
import os
import signal
import sys
import time
from types import ModuleType

from asd_monitor.errors import SourceError
from asd_monitor.records import SourceState
from asd_monitor.sources import MAX_CHUNK_INTERVAL_S
from asd_monitor.sources.microphone.devices import query_microphones, resolve_device
from asd_monitor.sources.microphone.messages import (
    HANG_S,
    CapturedAudio,
    CaptureOptions,
    CaptureStatus,
    WindowEnds,
)
from asd_monitor.sources.microphone.pipe import HEARTBEAT_S, MonitorGoneError, Pipe
from asd_monitor.sources.microphone.resampler import ModelRateAudio
from asd_monitor.sources.microphone.sample_clock import SampleClock
from asd_monitor.sources.microphone.stream import CaptureStream

RETRY_S = 2.0
FROZEN_S = 1.25
REOPEN_FROZEN_S = 2.5
SILENT_S = 1.0
REOPEN_SILENT_S = (10.0, 30.0)
"""A sound server moves a stream silently to another source when its own vanishes; opening it
again brings it back. First after ten seconds of silence, then twice a minute."""
CALM_S = 1.2
"""While all is well the callbacks need not wake anybody for so long; then they are looked for."""
RATE_LIE = 0.005
OPENING_MAY_TAKE_S = 15.0
PR_SET_PDEATHSIG = 1


class Capture:
    """Keep one microphone open, whatever happens to it.

    Parameters
    ----------
    options
        What to capture.
    portaudio
        The ``sounddevice`` module.
    pipe
        Where audio and status go.
    news
        The eventfd that wakes the pipe.
    """

    def __init__(
        self, options: CaptureOptions, portaudio: ModuleType, pipe: Pipe, news: int
    ) -> None:
        self._options = options
        self._portaudio = portaudio
        self._pipe = pipe
        self._news = news
        self._state = SourceState.OPENING
        self._reason = ""
        self._device = str(options.device)
        self._pinned_id = options.pinned_id
        self._opens = 0
        self._overflows = 0
        self._next_start = options.next_start
        self._captured_s = options.captured_s
        self._silent_since_s: float | None = None
        self._silent_reopens = 0

    def run(self) -> None:
        """Open, follow, and open again, until the monitor is gone."""
        fresh = True
        while True:
            self._tell(quiet_for_s=OPENING_MAY_TAKE_S)
            try:
                if not fresh:
                    with contextlib.suppress(self._portaudio.PortAudioError):
                        self._portaudio._terminate()  # refused where it was never initialised
                    self._portaudio._initialize()
                fresh = False
                stream = self._open()
            except (SourceError, self._portaudio.PortAudioError) as error:
                self._state, self._reason = SourceState.MISSING, str(error)
                self._rest()
                continue
            try:
                rest = self._follow(stream)
            finally:
                self._overflows += stream.overflows
            self._tell()
            stream.close()
            if rest:
                self._rest()

    def _rest(self) -> None:
        """Wait before the next attempt, with signs of life."""
        until_s = time.monotonic() + RETRY_S
        while time.monotonic() < until_s:
            self._tell()
            self._pipe.wait(HEARTBEAT_S)

    def _open(self) -> CaptureStream:
        microphones = query_microphones(self._portaudio, probe_rates=False)
        microphone = resolve_device(self._options.device, microphones, self._pinned_id)
        stream = CaptureStream(
            self._portaudio,
            microphone,
            self._options.channel,
            self._options.rate_hz,
            self._options.latency_s,
            self._news,
        )
        self._pinned_id, self._device = microphone.stable_id, microphone.name
        self._opens += 1
        return stream

    def _follow(self, stream: CaptureStream) -> bool:
        """Deliver a stream's audio until it has to be opened anew; True asks for a rest before."""
        resumed = self._captured_s is not None
        clock = SampleClock(
            stream.rate_hz, stream.started_s, self._options.latency_s, resumed=resumed
        )
        audio = ModelRateAudio(
            stream, clock, self._options.model_rate_hz, self._next_start, self._captured_s
        )
        awake_s = stream.started_s
        timeout_s = HEARTBEAT_S / 2
        while True:
            before_s = time.monotonic()
            heard = self._pipe.wait(timeout_s)
            now_s = time.monotonic()
            if now_s - before_s > max(HEARTBEAT_S, timeout_s + 0.05):
                awake_s = now_s  # this process stood still: the callbacks get time to catch up
            self._deliver(audio.take(), audio)
            quiet_s = now_s - max(awake_s, stream.last_callback_s or stream.started_s)
            ended = self._ended(stream, clock)
            if ended or quiet_s >= REOPEN_FROZEN_S or self._silent_for_long(now_s):
                self._deliver(audio.finish(), audio)
                return ended
            self._judge(stream, audio, quiet_s, clock.measured_rate_hz)
            self._tell(stream, clock.measured_rate_hz)
            stream.wake_at = self._wanted(audio) if heard else 0
            timeout_s = CALM_S if stream.wake_at else HEARTBEAT_S / 2

    def _deliver(self, pieces: list[CapturedAudio], audio: ModelRateAudio) -> None:
        for piece in pieces:
            self._pipe.put_audio(piece)
        self._next_start, self._captured_s = audio.next_start, audio.captured_s

    def _wanted(self, audio: ModelRateAudio) -> int:
        """Return how many frames complete the next window; 0 where every callback matters."""
        ends = self._pipe.window_ends
        if ends is None or self._state is not SourceState.RUNNING or audio.doubtful:
            return 0
        longest = self._next_start + round(MAX_CHUNK_INTERVAL_S * self._options.model_rate_hz)
        return audio.frames_for(min(ends.after(self._next_start), longest))

    def _ended(self, stream: CaptureStream, clock: SampleClock) -> bool:
        if stream.finished:
            self._reason = f"microphone {self._device!r}: the driver ended the stream"
        elif stream.failed:
            self._reason = f"microphone {self._device!r}: its callback failed"
        elif clock.running_ahead:
            self._reason = f"microphone {self._device!r} delivers faster than real time"
        else:
            return False
        self._state = SourceState.MISSING
        return True

    def _judge(
        self,
        stream: CaptureStream,
        audio: ModelRateAudio,
        quiet_s: float,
        measured_rate_hz: float | None,
    ) -> None:
        """Decide what state the source is in."""
        name = f"microphone {self._device!r}"
        if quiet_s >= FROZEN_S:
            self._state = SourceState.FROZEN
            self._reason = f"{name} is open, but has delivered nothing for over {FROZEN_S} s"
        elif not stream.read:
            pass  # what was said before holds until there is audio
        elif audio.constant.frames >= SILENT_S * stream.rate_hz:
            self._state = SourceState.SILENT
            self._reason = (
                f"{name} delivers digital silence (every sample is {audio.constant.value:g}): "
                "is it muted, or did the sound server take another source?"
            )
            self._silent_since_s = self._silent_since_s or time.monotonic()
        elif self._state is not SourceState.SILENT or not audio.constant.frames:
            self._state, self._reason = SourceState.RUNNING, ""
            self._silent_since_s, self._silent_reopens = None, 0
            if measured_rate_hz and abs(measured_rate_hz / stream.rate_hz - 1) >= RATE_LIE:
                self._reason = (
                    f"{name} delivers {measured_rate_hz:.0f} samples per second where it promises "
                    f"{stream.rate_hz}: its clock is wrong, or it loses audio all the time"
                )

    def _silent_for_long(self, now_s: float) -> bool:
        wait_s = REOPEN_SILENT_S[min(self._silent_reopens, 1)]
        if self._silent_since_s is None or now_s - self._silent_since_s < wait_s:
            return False
        self._silent_since_s = now_s
        self._silent_reopens += 1
        return True

    def _tell(
        self,
        stream: CaptureStream | None = None,
        measured_rate_hz: float | None = None,
        quiet_for_s: float = HANG_S,
    ) -> None:
        self._pipe.tell(
            CaptureStatus(
                self._state,
                self._reason,
                self._device,
                self._pinned_id,
                self._opens,
                self._overflows + (stream.overflows if stream else 0),
                round(measured_rate_hz, 1) if measured_rate_hz else None,
                quiet_for_s,
            )
        )


def main() -> None:
    """Capture until the monitor closes its end."""
    output, lifeline = os.dup(1), os.dup(0)
    silence = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # sound libraries print
        os.dup2(silence, standard)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for each in (signal.SIGPIPE, signal.SIGTERM):  # it ends when the monitor does, not before
        signal.signal(each, signal.SIG_IGN)
    news = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    pipe = Pipe(output, lifeline, news)
    try:
        _capture(CaptureOptions.from_json(sys.argv[1]), pipe, news)
    except MonitorGoneError:
        os._exit(0)  # without PortAudio's own end, which may hang; the kernel frees the device
    except SourceError as error:
        pipe.tell(CaptureStatus(SourceState.MISSING, str(error)))
    except Exception as error:  # the last that is heard of this process
        pipe.tell(CaptureStatus(SourceState.MISSING, f"the capture process failed: {error!r}"))
    os._exit(1)


def _capture(options: CaptureOptions, pipe: Pipe, news: int) -> None:
    if options.window_ends is not None:
        pipe.window_ends = WindowEnds(*options.window_ends)
    pipe.tell(CaptureStatus(SourceState.OPENING, quiet_for_s=OPENING_MAY_TAKE_S))
    try:
        import sounddevice
    except OSError as error:
        msg = "PortAudio is not installed: install the package libportaudio2"
        raise SourceError(msg) from error
    Capture(options, sounddevice, pipe, news).run()


if __name__ == "__main__":
    main()
