"""Render the plan of a clip to samples."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_monitor.synthesis.faults import FaultContext, fault_component, rms
from asd_offline.synth.conditions import Conditions
from asd_offline.synth.machine_run import MachineRun
from asd_offline.synth.machines import MACHINES
from asd_offline.synth.room import apply_room, factory_noise

SAMPLE_RATE_HZ = 16000
CLIP_RMS = 0.05
PEAK = 0.98


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """Everything that determines one clip; equal plans give equal bytes."""

    path: str
    """Path relative to the dataset's root, with forward slashes."""
    machine: str
    conditions: Conditions
    kind: str
    """Kind of fault (a key of ``FAULTS``); empty for a normal clip."""
    level_db: float
    """Level of the fault relative to the machine's sound at close range."""
    snr_db: float
    seed: tuple[int, ...]
    n_samples: int


def render(plan: ClipPlan) -> npt.NDArray[np.int16]:
    """Return the clip as ``(n_samples,)`` 16-bit samples.

    The fault is added to the machine's sound at close range. The sum passes the room and the
    microphone, and factory noise is added at a signal-to-noise ratio that refers to the machine
    without the fault.
    """
    seeds = np.random.SeedSequence(plan.seed).spawn(4)
    clip, fault, noise, level = (np.random.default_rng(seed) for seed in seeds)
    conditions = plan.conditions
    run = MachineRun(
        plan.n_samples,
        SAMPLE_RATE_HZ,
        conditions.speed * level.uniform(0.985, 1.015),
        conditions.load * level.uniform(0.85, 1.15),
        conditions.variant,
        np.random.default_rng(conditions.unit_seed),
        clip,
    )
    machine = MACHINES[plan.machine](run)
    close_sound = machine.sound / rms(machine.sound)
    sound = apply_room(close_sound, conditions.room_seed, SAMPLE_RATE_HZ)
    machine_rms = rms(sound)
    if plan.kind:
        context = FaultContext(close_sound, SAMPLE_RATE_HZ, machine.shaft_hz, plan.level_db, fault)
        component, _ = fault_component(plan.kind, context)
        sound += apply_room(component, conditions.room_seed, SAMPLE_RATE_HZ)
    sound /= machine_rms
    background = factory_noise(
        conditions.hall_seed, conditions.room_seed, plan.n_samples, SAMPLE_RATE_HZ, noise
    )
    snr_db = plan.snr_db - conditions.noise_db + level.uniform(-1.0, 1.0)
    sound += background * 10.0 ** (-snr_db / 20.0)
    sound *= CLIP_RMS * 10.0 ** (level.uniform(-1.0, 1.0) / 20.0)
    sound *= min(1.0, PEAK / float(np.max(np.abs(sound))))
    return np.asarray(np.round(sound * 32767.0), dtype=np.int16)
