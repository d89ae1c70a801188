"""Render the plan of a clip to samples."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_monitor.synthesis.faults import FaultContext, fault_component, rms
from asd_monitor.synthesis.signals import DoubleArray
from asd_offline.datasets.clip import SupplementalContent
from asd_offline.synth.conditions import Conditions
from asd_offline.synth.machine_run import MachineRun
from asd_offline.synth.machines import MACHINES
from asd_offline.synth.room import apply_room, factory_noise
from asd_offline.synth.seeds import derive_seed

SAMPLE_RATE_HZ = 16000
CLIP_RMS = 0.05
PEAK = 0.98
FAR_DB = -12.0
"""Level of the machine at the far microphone, relative to the near one."""


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
    channels: int = 1
    """2: also the far channel, see :func:`render`."""
    content: SupplementalContent | None = None
    """Render only the machine, or only the noise; None: both."""


def render(plan: ClipPlan) -> npt.NDArray[np.int16]:
    """Return the clip as ``(n_samples,)`` 16-bit samples, or ``(n_samples, 2)``.

    The fault is added to the machine's sound at close range. The sum passes the room and the
    microphone, and factory noise is added at a signal-to-noise ratio that refers to the machine
    without the fault. The second microphone receives the same machine more faintly by another
    path, and the same noise.
    """
    seeds = np.random.SeedSequence(plan.seed).spawn(4)
    clip, fault, _, level = (np.random.default_rng(seed) for seed in seeds)
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
    component: DoubleArray | None = None
    if plan.kind:
        context = FaultContext(close_sound, SAMPLE_RATE_HZ, machine.shaft_hz, plan.level_db, fault)
        component, _ = fault_component(plan.kind, context)
    snr_db = plan.snr_db - conditions.noise_db + level.uniform(-1.0, 1.0)
    gain = CLIP_RMS * 10.0 ** (level.uniform(-1.0, 1.0) / 20.0)
    noise_seed = seeds[2]
    near = _microphone(plan, close_sound, component, conditions.room_seed, snr_db, noise_seed)
    sound = near[:, None]
    if plan.channels > 1:
        far_seed = derive_seed(conditions.room_seed, "far")
        far = _microphone(plan, close_sound, component, far_seed, snr_db, noise_seed, FAR_DB)
        sound = np.stack([near, far], axis=1)
    sound = sound * gain
    sound *= min(1.0, PEAK / float(np.max(np.abs(sound))))
    samples = np.asarray(np.round(sound * 32767.0), dtype=np.int16)
    return samples if plan.channels > 1 else samples[:, 0]


def _microphone(
    plan: ClipPlan,
    close_sound: DoubleArray,
    component: DoubleArray | None,
    room_seed: int,
    snr_db: float,
    noise_seed: np.random.SeedSequence,
    machine_db: float = 0.0,
) -> DoubleArray:
    """Return what a microphone records; ``machine_db`` is the machine's level there."""
    sound = apply_room(close_sound, room_seed, SAMPLE_RATE_HZ)
    machine_rms = rms(sound)
    if component is not None:
        sound += apply_room(component, room_seed, SAMPLE_RATE_HZ)
    sound /= machine_rms
    sound *= 10.0 ** (machine_db / 20.0) if plan.content != "noise" else 0.0
    if plan.content == "machine":
        return sound
    rng = np.random.default_rng(noise_seed)
    background = factory_noise(
        plan.conditions.hall_seed, room_seed, plan.n_samples, SAMPLE_RATE_HZ, rng
    )
    sound += background * 10.0 ** (-snr_db / 20.0)
    return sound
