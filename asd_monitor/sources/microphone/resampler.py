"""From the frames of one stream to numbered audio at the model's rate."""

import math
import time

import numpy as np
import soxr

from asd_monitor.audio.files import RESAMPLE_QUALITY
from asd_monitor.records import FloatArray
from asd_monitor.sources.microphone.messages import CapturedAudio
from asd_monitor.sources.microphone.sample_clock import SampleClock
from asd_monitor.sources.microphone.stream import CaptureStream

HELD_BACK_SAMPLES = 64
"""Where rates differ the resampler holds back more than this, whatever they are."""
SHORTEST_RUN_FRAMES = 800


class ConstantRun:
    """Count the frames since the sound last changed; a few do not count."""

    def __init__(self) -> None:
        self.frames = 0
        self.value = 0.0

    def observe(self, samples: FloatArray) -> None:
        """Take a block of at least one sample into account."""
        value, before = float(samples[-1]), self.value
        self.value = value
        if samples[-2:][0] != value:  # as nearly always
            self.frames = 0
            return
        others = np.flatnonzero(samples != value)
        if len(others):
            run = len(samples) - 1 - int(others[-1])
            self.frames = run if run >= SHORTEST_RUN_FRAMES else 0
        else:
            self.frames = self.frames + len(samples) if value == before else len(samples)


class ModelRateAudio:
    """Take frames from a stream, place them by the clock, resample.

    Between two losses the audio runs through one resampler; a loss ends it (nothing that was
    heard stays behind in it) and begins another at the index that the clock gives.

    Parameters
    ----------
    stream
        Where the frames come from.
    clock
        Fed here with the stream's stamps.
    model_rate_hz
        Rate of the audio to deliver.
    next_start
        Index that follows the last sample of an earlier stream.
    captured_s
        Monotonic time of that sample; None where there was none.
    """

    def __init__(
        self,
        stream: CaptureStream,
        clock: SampleClock,
        model_rate_hz: int,
        next_start: int,
        captured_s: float | None,
    ) -> None:
        self.next_start = next_start
        self.captured_s = captured_s
        self.constant = ConstantRun()
        self._stream = stream
        self._clock = clock
        self._model_rate_hz = model_rate_hz
        self._ratio = model_rate_hz / stream.rate_hz
        self._first_index: int | None = None
        self._lost_frames = 0
        self._resampler: soxr.ResampleStream | None = None
        self._section_start = 0
        self._section_position = 0
        self._section_samples = 0

    def take(self) -> list[CapturedAudio]:
        """Return what has come and can be placed."""
        for stamp in self._stream.take_stamps():
            self._clock.observe(stamp.frames, stamp.at_s, overflow=stamp.overflow)
        audio = []
        for cut in self._clock.take_cuts():
            audio += self._push(cut.frame)
            audio += self.finish()
            self._lost_frames += cut.lost_frames
        audio += self._push(self._clock.certain_frames)
        return audio

    @property
    def doubtful(self) -> bool:
        """Whether audio is held back until it can be placed, or may have gone silent."""
        return self.constant.frames > 0 or self._clock.certain_frames < self._clock.frames

    def frames_for(self, next_start: int) -> int:
        """Return how many frames of the stream it takes at least to deliver up to an index."""
        if self._resampler is None:
            return 0
        held_back = 0 if self._ratio == 1 else HELD_BACK_SAMPLES
        samples = next_start - self._section_start + held_back
        position = self._section_position + math.ceil(samples / self._ratio)
        return position - self._lost_frames

    def finish(self) -> list[CapturedAudio]:
        """Return what is still in the resampler, and end it."""
        if self._resampler is None:
            return []
        tail = self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        self._resampler = None
        return self._number(tail)

    def _push(self, until: int) -> list[CapturedAudio]:
        if until <= self._stream.read:
            return []
        samples, skipped = self._stream.take_frames(until)
        audio = self.finish() if skipped else []
        if not len(samples):
            return audio
        self.constant.observe(samples)
        if self._resampler is None:
            self._begin(until - len(samples) + self._lost_frames)
        return audio + self._number(self._resample(samples))

    def _resample(self, samples: FloatArray) -> FloatArray:
        assert self._resampler is not None  # noqa: S101  # for the type checker: _begin made it
        resampled: FloatArray = self._resampler.resample_chunk(samples)
        return resampled

    def _begin(self, position: int) -> None:
        """Start a section at a position: received frames plus lost ones."""
        if self._first_index is None:
            self._first_index = self.next_start
            if self.captured_s is not None:
                pause_s = self._clock.captured_s(0) - self.captured_s
                self._first_index += max(0, round(pause_s * self._model_rate_hz) - 1)
        index = self._first_index + round(position * self._ratio)
        self._section_start = max(self.next_start, index)
        self._section_position, self._section_samples = position, 0
        self._resampler = soxr.ResampleStream(
            self._stream.rate_hz, self._model_rate_hz, 1, quality=RESAMPLE_QUALITY
        )

    def _number(self, samples: FloatArray) -> list[CapturedAudio]:
        if not len(samples):
            return []
        start = self._section_start + self._section_samples
        self._section_samples += len(samples)
        self.next_start = start + len(samples)
        position = self._section_position + self._section_samples / self._ratio
        self.captured_s = self._clock.captured_s(position)
        captured_at = time.time() - (time.monotonic() - self.captured_s)
        delivered_s = self._stream.last_callback_s or self.captured_s
        return [CapturedAudio(start, captured_at, self.captured_s, delivered_s, samples)]
