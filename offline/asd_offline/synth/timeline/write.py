"""Write a stream block by block, so that memory does not grow with its length."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from asd_monitor.errors import DatasetError
from asd_monitor.synthesis.signals import DoubleArray
from asd_offline.jobs.pool import Tick
from asd_offline.synth.timeline.plan import FaultEvent, StreamPlan

FULL_SCALE = 32_767.0


class BlockSource(Protocol):
    """Sound of a machine in consecutive blocks."""

    @property
    def plan(self) -> StreamPlan:
        """Plan of the stream."""

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of all blocks."""

    @property
    def join_samples(self) -> int:
        """Samples by which a block overlaps the next."""

    def block(self, index: int, start_s: float, faults: Sequence[FaultEvent]) -> DoubleArray:
        """Return a block that starts at ``start_s``, with its faults and its overlap, ``(n,)``."""


@dataclass(frozen=True, slots=True)
class WriteJob:
    """Write one stream as a 16-bit WAV file."""

    source: BlockSource
    result: Path

    @property
    def work(self) -> float:
        """Seconds of sound."""
        return self.source.plan.duration_s

    def run(self, tick: Tick) -> None:
        """Write the file; it gets its name once it is complete."""
        import soundfile

        source, unfinished = self.source, self.result.with_suffix(".unfinished")
        rate_hz = source.sample_rate_hz
        total = round(source.plan.duration_s * rate_hz)
        try:
            self.result.parent.mkdir(parents=True, exist_ok=True)
            with soundfile.SoundFile(
                unfinished, "w", rate_hz, 1, format="WAV", subtype="PCM_16"
            ) as file:
                written = 0
                for sound in _joined(source):
                    part = sound[: total - written]
                    file.write(_quantize(part))
                    written += part.size
                    tick(part.size / rate_hz)
                    if written == total:
                        break
            unfinished.rename(self.result)
        except (OSError, soundfile.LibsndfileError) as error:
            raise DatasetError(f"{self.result}: cannot be written: {error}") from error


def _joined(source: BlockSource) -> Iterator[DoubleArray]:
    """Yield the blocks without end, joined by crossfades of equal power."""
    join = source.join_samples
    fade = np.sin(0.5 * np.pi * (np.arange(join) + 0.5) / max(join, 1))
    tail: DoubleArray | None = None
    index, start = 0, 0
    while True:
        block = source.block(index, start / source.sample_rate_hz, source.plan.faults)
        if tail is not None:
            block[:join] = block[:join] * fade + tail * fade[::-1]
        yield block[: block.size - join]
        tail = block[block.size - join :]
        index, start = index + 1, start + block.size - join


def _quantize(sound: DoubleArray) -> np.ndarray:
    return np.round(np.clip(sound, -1.0, 1.0) * FULL_SCALE).astype(np.int16)
