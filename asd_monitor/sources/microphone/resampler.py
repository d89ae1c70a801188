"""Numbered audio at the model's rate, from the frames of one stream."""

import math
import time
from collections.abc import Sequence
from typing import Literal

import numpy as np
import soxr

from asd_monitor.audio.constant_runs import ConstantRun
from asd_monitor.audio.files import RESAMPLE_QUALITY
from asd_monitor.records import FloatArray
from asd_monitor.sources.microphone.channel_reader import ChannelReader
from asd_monitor.sources.microphone.messages import AudioEnd, CapturedAudio
from asd_monitor.sources.microphone.sample_clock import SampleClock
from asd_monitor.sources.microphone.stream import CallbackTime

MIN_RESAMPLER_DELAY_SAMPLES = 64
"""The resampler holds back more samples than this, whatever the two rates are."""


class StreamResampler:
    """A reader of a stream that places frames by the clock and resamples them.

    Audio between two losses is a *section*, with its own resampler. A loss flushes the resampler,
    so that no audio before it stays inside, and starts a section at the index that the clock
    gives.

    Parameters
    ----------
    reader
        Source of the frames.
    clock
        Clock to update from the stream's callbacks.
    model_rate_hz
        Sample rate of the result.
    audio_end
        Where the audio of an earlier stream ended.

    Attributes
    ----------
    audio_end
        Where the audio returned so far ends.
    constant_run
        Equal frames at the end of the frames read so far.
    """

    def __init__(
        self,
        reader: ChannelReader,
        clock: SampleClock,
        model_rate_hz: int,
        audio_end: AudioEnd,
    ) -> None:
        self.audio_end = audio_end
        self.constant_run = ConstantRun()
        self._reader = reader
        self._stream = stream = reader.stream
        self._clock = clock
        self._model_rate_hz = model_rate_hz
        self._ratio = model_rate_hz / stream.rate_hz
        self._first_index: int | None = None
        self._joined_frame = 0
        self._lost_frames = 0
        self._resampler: soxr.ResampleStream | None = None
        self._section_start = 0
        self._section_position = 0
        self._section_samples = 0

    def read(self, callbacks: Sequence[CallbackTime]) -> list[CapturedAudio]:
        """Return the audio of all frames received whose index is known.

        Parameters
        ----------
        callbacks
            The stream's callbacks since the last call.
        """
        for callback in callbacks:
            self._clock.observe(callback.frames, callback.at_s, overflow=callback.overflow)
        audio = []
        for gap in self._clock.pop_gaps():
            audio += self._resample_until(gap.frame)
            audio += self.flush()
            self._lost_frames += gap.lost_frames
        audio += self._resample_until(self._clock.placed_frames)
        return audio

    def join(
        self, channel: int | Literal["mean"], clock: SampleClock, model_rate_hz: int
    ) -> tuple[ChannelReader, "StreamResampler"]:
        """Return a reader of another channel whose audio begins where this one has read to.

        Parameters
        ----------
        channel
            Its channel.
        clock
            A copy of this one's clock.
        model_rate_hz
            Its sample rate.
        """
        reader = ChannelReader(self._stream, channel)
        reader.read_frames = self._reader.read_frames
        joined = StreamResampler(reader, clock, model_rate_hz, AudioEnd())
        joined._lost_frames = self._lost_frames
        position = reader.read_frames + self._lost_frames
        joined._first_index = -round(position * joined._ratio)
        joined._joined_frame = reader.read_frames
        return reader, joined

    @property
    def has_read(self) -> bool:
        """Whether any audio has been read."""
        return self._reader.read_frames > self._joined_frame

    @property
    def needs_every_callback(self) -> bool:
        """Whether frames are held back until they can be placed, or may have turned silent."""
        return self.constant_run.length > 0 or self._clock.placed_frames < self._clock.frames

    def frames_needed(self, end: int) -> int:
        """Return how many frames the stream must at least have received to deliver up to ``end``.

        Returns 0 between two sections, when it is not known.
        """
        if self._resampler is None:
            return 0
        delay = 0 if self._ratio == 1 else MIN_RESAMPLER_DELAY_SAMPLES
        samples = end - self._section_start + delay
        position = self._section_position + math.ceil(samples / self._ratio)
        return position - self._lost_frames

    def flush(self) -> list[CapturedAudio]:
        """End the section and return what is left in its resampler."""
        if self._resampler is None:
            return []
        tail = self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        self._resampler = None
        return self._number(tail)

    def _resample_until(self, frame: int) -> list[CapturedAudio]:
        if frame <= self._reader.read_frames:
            return []
        samples, skipped = self._reader.read_until(frame)
        audio = self.flush() if skipped else []
        if not len(samples):
            return audio
        self.constant_run.update(samples)
        if self._resampler is None:
            self._resampler = self._start_section(frame - len(samples) + self._lost_frames)
        return audio + self._number(self._resampler.resample_chunk(samples))

    def _start_section(self, position: int) -> soxr.ResampleStream:
        """Return the resampler of a section that starts at a position.

        A position counts received frames plus the frames lost before them. Indices never go
        back, even if the clock places the section before the end of the last one.
        """
        if self._first_index is None:
            self._first_index = self.audio_end.next_start
            if self.audio_end.captured_s is not None:
                pause_s = self._clock.captured_s(0) - self.audio_end.captured_s
                self._first_index += max(0, round(pause_s * self._model_rate_hz) - 1)
        index = self._first_index + round(position * self._ratio)
        self._section_start = max(self.audio_end.next_start, index)
        self._section_position, self._section_samples = position, 0
        return soxr.ResampleStream(
            self._stream.rate_hz, self._model_rate_hz, 1, quality=RESAMPLE_QUALITY
        )

    def _number(self, samples: FloatArray) -> list[CapturedAudio]:
        """Return resampled audio with its index and time of capture; none for no samples."""
        if not len(samples):
            return []
        start = self._section_start + self._section_samples
        self._section_samples += len(samples)
        position = self._section_position + self._section_samples / self._ratio
        captured_s = self._clock.captured_s(position)
        audio = CapturedAudio(
            start=start,
            lost_samples=start - self.audio_end.next_start,
            captured_at=time.time() - (time.monotonic() - captured_s),
            captured_s=captured_s,
            delivered_s=self._stream.last_callback_s or captured_s,
            samples=samples,
        )
        self.audio_end = audio.end
        return [audio]
