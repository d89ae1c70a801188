"""Sound of a real machine: its normal recordings in random order."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asd_monitor.synthesis.faults import rms
from asd_monitor.synthesis.signals import DoubleArray
from asd_offline.synth.real_recordings import read_recording
from asd_offline.synth.timeline.plan import FaultEvent, StreamPlan

JOIN_S = 0.02


@dataclass(frozen=True)
class RecordedMachine:
    """Source of the blocks of a stream: one recording each, all in turn, then in another order."""

    recordings: tuple[Path, ...]
    sample_rate_hz: int
    shaft_hz: float
    gain: float
    plan: StreamPlan

    @property
    def join_samples(self) -> int:
        """Samples by which a block overlaps the next; a single recording is copied as it is."""
        return 0 if len(self.recordings) == 1 else round(JOIN_S * self.sample_rate_hz)

    def block(self, index: int, start_s: float, faults: Sequence[FaultEvent]) -> DoubleArray:
        """Return a recording with the faults that fall into it, ``(n,)``, at its own RMS."""
        sound, _ = read_recording(self._path(index))
        sound = sound * self.gain
        faulty = sound.copy()
        for fault in faults:
            faulty += fault.component(sound, self.sample_rate_hz, self.shaft_hz, start_s)
        mean = faulty.mean()
        return np.asarray(mean + (faulty - mean) * (rms(sound) / rms(faulty)))

    def _path(self, index: int) -> Path:
        turn, position = divmod(index, len(self.recordings))
        while len(self._orders) <= turn:
            self._orders.append(self._rng.permutation(len(self.recordings)))
        return self.recordings[int(self._orders[turn][position])]

    @cached_property
    def _rng(self) -> np.random.Generator:
        return np.random.default_rng((*self.plan.seed, 12))

    @cached_property
    def _orders(self) -> list[npt.NDArray[np.int64]]:
        return []
