"""From the plan of a clip to its samples."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_offline.synth.conditions import Conditions
from asd_offline.synth.faults import Scene, fault_component, rms
from asd_offline.synth.machines import MACHINES
from asd_offline.synth.room import factory_noise, heard
from asd_offline.synth.run import Run

SAMPLE_RATE_HZ = 16000
CLIP_RMS = 0.05
PEAK = 0.98


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """One clip to be made; the same plan always gives the same bytes."""

    path: str
    """Where it goes, relative to the data set's root, with forward slashes."""
    machine: str
    conditions: Conditions
    kind: str
    """The fault (a key of ``FAULTS``), or empty for a normal clip."""
    level_db: float
    """The fault's level against the machine's sound close by."""
    snr_db: float
    seed: tuple[int, ...]
    n_samples: int


def render(plan: ClipPlan) -> npt.NDArray[np.int16]:
    """Return the clip as ``(n_samples,)`` 16-bit samples.

    The machine runs close by, its fault is added there, the room and the microphone follow,
    and the factory's noise comes in at the signal-to-noise ratio of the machine without fault.
    """
    seeds = np.random.SeedSequence(plan.seed).spawn(4)
    clip, fault, noise, level = (np.random.default_rng(each) for each in seeds)
    conditions = plan.conditions
    run = Run(
        plan.n_samples,
        SAMPLE_RATE_HZ,
        conditions.speed * level.uniform(0.985, 1.015),
        conditions.load * level.uniform(0.85, 1.15),
        conditions.variant,
        np.random.default_rng(conditions.unit),
        clip,
    )
    running = MACHINES[plan.machine](run)
    machine = running.sound / rms(running.sound)
    sound = heard(machine, conditions.place, SAMPLE_RATE_HZ)
    machine_rms = rms(sound)
    if plan.kind:
        scene = Scene(machine, SAMPLE_RATE_HZ, running.shaft_hz, plan.level_db, fault)
        sound += heard(fault_component(plan.kind, scene)[0], conditions.place, SAMPLE_RATE_HZ)
    sound /= machine_rms
    background = factory_noise(
        conditions.noise, conditions.place, plan.n_samples, SAMPLE_RATE_HZ, noise
    )
    snr_db = plan.snr_db - conditions.noise_db + level.uniform(-1.0, 1.0)
    sound += background * 10.0 ** (-snr_db / 20.0)
    sound *= CLIP_RMS * 10.0 ** (level.uniform(-1.0, 1.0) / 20.0)
    sound *= min(1.0, PEAK / float(np.max(np.abs(sound))))
    return np.asarray(np.round(sound * 32767.0), dtype=np.int16)
