"""A source whose sound is converted to a lower sample rate."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import soxr

from asd_monitor.audio.files import RESAMPLE_QUALITY
from asd_monitor.records import AudioChunk, FloatArray, SourceHealth, SourceState
from asd_monitor.sources import AudioSource

MAX_DELAY_S = 0.1
"""The converter holds back less sound than this."""


class ConvertedSource:
    """The sound of another source, at a rate that may be lowered while it runs.

    Parameters
    ----------
    source
        Where the sound comes from.
    source_rate_hz
        Its sample rate.

    Attributes
    ----------
    source
        The same.
    rate_hz
        Sample rate of the delivered sound.
    """

    def __init__(self, source: AudioSource, source_rate_hz: int) -> None:
        self.machine = source.machine
        self.source = source
        self.rate_hz = source_rate_hz
        self._source_rate_hz = source_rate_hz
        self._converter: soxr.ResampleStream | None = None
        self._latest: AudioChunk | None = None
        self._next_start = 0
        self._lost = 0

    def set_rate_hz(self, rate_hz: int) -> None:
        """Convert to this rate from the next chunk on; sample indices count at it then.

        Raises
        ------
        ValueError
            If the source's rate is not a multiple of it.
        """
        if rate_hz == self.rate_hz:
            return
        if self._source_rate_hz % rate_hz:
            raise ValueError(f"{self._source_rate_hz} Hz is not a multiple of {rate_hz} Hz")
        self.rate_hz = rate_hz
        self._converter = self._latest = None
        self._next_start = 0

    @property
    def _factor(self) -> int:
        return self._source_rate_hz // self.rate_hz

    def expect_windows(self, end: int, hop_samples: int) -> None:
        """Let the source deliver when the converter can complete a window."""
        delay = 0 if self._factor == 1 else math.ceil(MAX_DELAY_S * self._source_rate_hz)
        self.source.expect_windows(self._factor * end + delay, self._factor * hop_samples)

    def open(self, wake: Callable[[], None]) -> None:
        """Start the source."""
        self.source.open(wake)

    def read(self) -> list[AudioChunk]:
        """Return the sound that arrived since the last call, converted."""
        chunks = self.source.read()
        if self._factor == 1:
            return chunks
        converted = []
        for chunk in chunks:
            latest = self._latest
            if latest and (chunk.lost_samples or chunk.recording != latest.recording):
                converted += self._flush()
            converted += self._convert(chunk)
        if self.source.health().state in (SourceState.ENDED, SourceState.CLOSED):
            converted += self._flush()
        return converted

    def health(self) -> SourceHealth:
        """Return the health of the source, with its counts at the converted rate."""
        health, factor = self.source.health(), self._factor
        return replace(
            health, samples=health.samples // factor, lost_samples=health.lost_samples // factor
        )

    def close(self) -> None:
        """Close the source."""
        self.source.close()

    def _convert(self, chunk: AudioChunk) -> list[AudioChunk]:
        if self._converter is None:
            self._converter = soxr.ResampleStream(
                self._source_rate_hz, self.rate_hz, 1, dtype="float32", quality=RESAMPLE_QUALITY
            )
            start = -(-chunk.start // self._factor)
            # Without an earlier chunk, the loss is that of the source.
            self._lost = chunk.lost_samples // self._factor
            if self._next_start:
                start = max(start, self._next_start)
                self._lost = start - self._next_start if chunk.lost_samples else 0
            self._next_start = start
        self._latest = chunk
        return self._number(self._converter.resample_chunk(np.array(chunk.samples)), chunk)

    def _flush(self) -> list[AudioChunk]:
        """Return what is left in the converter."""
        converter, latest = self._converter, self._latest
        self._converter = self._latest = None
        if converter is None or latest is None:
            return []
        return self._number(converter.resample_chunk(np.zeros(0, np.float32), last=True), latest)

    def _number(self, samples: FloatArray, latest: AudioChunk) -> list[AudioChunk]:
        if not len(samples):
            return []
        start, lost = self._next_start, self._lost
        self._next_start, self._lost = start + len(samples), 0
        held_back_s = (latest.start + len(latest.samples)) / self._source_rate_hz
        held_back_s -= self._next_start / self.rate_hz
        samples.flags.writeable = False
        return [
            AudioChunk(samples, start, latest.captured_at - held_back_s, latest.recording, lost)
        ]


def original(source: AudioSource) -> AudioSource:
    """Return the source of a :class:`ConvertedSource`; any other source itself."""
    return source.source if isinstance(source, ConvertedSource) else source
