"""Sound of a simulated machine in its modes, with drift, neighbours and disturbances."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from asd_monitor.synthesis.faults import rms
from asd_monitor.synthesis.signals import DoubleArray
from asd_offline.synth.machine_run import MachineRun, MachineSound
from asd_offline.synth.machines import MACHINES
from asd_offline.synth.render import CLIP_RMS, SAMPLE_RATE_HZ
from asd_offline.synth.room import apply_room, factory_noise
from asd_offline.synth.seeds import derive_seed
from asd_offline.synth.timeline.disturbances import (
    Disturbance,
    add_disturbances,
    plan_disturbances,
)
from asd_offline.synth.timeline.plan import FaultEvent, StreamPlan

BLOCK_S = 30.0
"""A mode lasts a whole number of blocks."""
JOIN_S = 0.5
"""Blocks overlap by this much, and are joined by a crossfade."""
DRIFT_S = 1800.0
"""Time constant of the drift of level and speed."""
DRIFT_DB, DRIFT_SPEED = 0.7, 0.003
"""Standard deviations of the drift."""
NEIGHBOUR_DB = (-14.0, -6.0)
"""Level of the neighbouring machine relative to the machine at full load."""


@dataclass(frozen=True, slots=True)
class Mode:
    """State of operation."""

    speed: float
    load: float
    level_db: float
    """Relative to full load."""
    weight: float
    """How often the machine changes to it."""
    is_off: bool = False


MODES: dict[str, Mode] = {
    "full": Mode(1.0, 1.2, 0.0, 0.4),
    "part": Mode(0.97, 0.9, -1.5, 0.3),
    "idle": Mode(0.85, 0.6, -4.0, 0.2),
    "off": Mode(0.0, 0.0, -120.0, 0.1, is_off=True),
}
MODE_BLOCKS = (4, 16)
"""A mode lasts 2 to 8 minutes."""
TRAINING_MODE_BLOCKS = (2, 5)
"""While learning 1 to 2.5 minutes, so that ten minutes hold every mode."""


@dataclass(frozen=True)
class SimulatedMachine:
    """Source of the blocks of a stream."""

    machine: str
    snr_db: float
    unit_seed: int
    """Determines the machine, its room, its hall and its neighbour: the same in all streams."""
    plan: StreamPlan
    mode_blocks: tuple[int, int] = MODE_BLOCKS
    """Fewest and most blocks that a mode lasts."""

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of all blocks."""
        return SAMPLE_RATE_HZ

    @property
    def join_samples(self) -> int:
        """Samples by which a block overlaps the next."""
        return round(JOIN_S * SAMPLE_RATE_HZ)

    def block(self, index: int, start_s: float, faults: Sequence[FaultEvent]) -> DoubleArray:
        """Return a block with its overlap, ``(n,)``; blocks are 30 s long.

        Parameters
        ----------
        index
            Number of the block.
        start_s
            Its start.
        faults
            Faults of the stream; those in other blocks are ignored.
        """
        n_samples = round(BLOCK_S * SAMPLE_RATE_HZ) + self.join_samples
        seeds = np.random.SeedSequence((*self.plan.seed, 7, index)).spawn(4)
        run_rng, noise, near, _ = (np.random.default_rng(seed) for seed in seeds)
        hall = derive_seed(self.unit_seed, "hall")
        room = derive_seed(self.unit_seed, "room")
        sound = factory_noise(hall, room, n_samples, SAMPLE_RATE_HZ, noise)
        sound *= 10.0 ** (-self.snr_db / 20.0)
        mode = MODES[self._modes[index]]
        if not mode.is_off:
            sound += self._machine_sound(mode, index, start_s, n_samples, run_rng, faults, room)
        if self._neighbour_runs[index]:
            sound += self._neighbour_sound(n_samples, near)
        sound *= CLIP_RMS
        add_disturbances(sound, start_s, SAMPLE_RATE_HZ, self._disturbances, CLIP_RMS)
        return sound

    def _machine_sound(
        self,
        mode: Mode,
        index: int,
        start_s: float,
        n_samples: int,
        rng: np.random.Generator,
        faults: Sequence[FaultEvent],
        room: int,
    ) -> DoubleArray:
        drift = self._drift[index]
        speed = mode.speed * (1.0 + DRIFT_SPEED * drift[1])
        made = self._simulate(self.machine, "unit", n_samples, speed, mode.load, rng)
        close = made.sound / rms(made.sound)
        sound = apply_room(close, room, SAMPLE_RATE_HZ)
        gain = 10.0 ** ((mode.level_db + DRIFT_DB * drift[0]) / 20.0) / rms(sound)
        for fault in faults:
            component = fault.component(close, SAMPLE_RATE_HZ, made.shaft_hz, start_s)
            if component.any():
                sound += apply_room(component, room, SAMPLE_RATE_HZ)
        return np.asarray(sound * gain)

    def _neighbour_sound(self, n_samples: int, rng: np.random.Generator) -> DoubleArray:
        hall = np.random.default_rng((self.unit_seed, 8))
        others = [name for name in ("fan", "pump", "gearbox", "shaker") if name != self.machine]
        name = others[int(hall.integers(len(others)))]
        level_db = hall.uniform(*NEIGHBOUR_DB)
        made = self._simulate(name, "neighbour", n_samples, 1.0, 1.0, rng)
        room = derive_seed(self.unit_seed, "neighbour room")
        sound = apply_room(made.sound, room, SAMPLE_RATE_HZ)
        return np.asarray(sound * 10.0 ** (level_db / 20.0) / rms(sound))

    def _simulate(
        self,
        machine: str,
        what: str,
        n_samples: int,
        speed: float,
        load: float,
        rng: np.random.Generator,
    ) -> MachineSound:
        unit = np.random.default_rng(derive_seed(self.unit_seed, what))
        run = MachineRun(n_samples, SAMPLE_RATE_HZ, speed, load, 0, unit, rng)
        return MACHINES[machine](run)

    @cached_property
    def _blocks(self) -> int:
        return int(self.plan.duration_s / BLOCK_S) + 2

    @cached_property
    def _modes(self) -> list[str]:
        """Mode of each block. A stream starts with every mode in turn; no fault is silent."""
        rng = np.random.default_rng((*self.plan.seed, 9))
        weights = np.array([mode.weight for mode in MODES.values()])
        modes: list[str] = []
        turn = list(rng.permutation([*MODES]))
        while len(modes) < self._blocks:
            name = turn.pop() if turn else str(rng.choice([*MODES], p=weights / weights.sum()))
            if not modes or name != modes[-1]:
                modes += [str(name)] * int(rng.integers(*self.mode_blocks, endpoint=True))
        return [self._audible(name, index) for index, name in enumerate(modes)]

    def _audible(self, mode: str, index: int) -> str:
        start_s, end_s = index * BLOCK_S, (index + 1) * BLOCK_S + JOIN_S
        has_fault = any(f.start_s < end_s and f.end_s > start_s for f in self.plan.faults)
        return "part" if MODES[mode].is_off and has_fault else mode

    @cached_property
    def _drift(self) -> DoubleArray:
        """Drift of level and speed in each block, ``(blocks, 2)``, of standard deviation 1."""
        rng = np.random.default_rng((*self.plan.seed, 10))
        keep = float(np.exp(-BLOCK_S / DRIFT_S))
        drift = [rng.standard_normal(2)]
        for _ in range(self._blocks):
            drift.append(keep * drift[-1] + (1 - keep**2) ** 0.5 * rng.standard_normal(2))
        return np.clip(np.array(drift), -2.0, 2.0)

    @cached_property
    def _neighbour_runs(self) -> list[bool]:
        """Whether the neighbouring machine runs, for each block."""
        rng = np.random.default_rng((*self.plan.seed, 11))
        runs: list[bool] = []
        is_on = bool(rng.integers(2))
        while len(runs) < self._blocks:
            runs += [is_on] * int(rng.integers(6, 40))
            is_on = not is_on
        return runs

    @cached_property
    def _disturbances(self) -> list[Disturbance]:
        return plan_disturbances(self.plan.duration_s, self.plan.seed)
