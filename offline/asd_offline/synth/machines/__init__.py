"""Physical models of machines, one family per file: from a run to its sound at close range."""

from collections.abc import Callable

from asd_offline.synth.machine_run import MachineRun, MachineSound
from asd_offline.synth.machines.bearing import bearing
from asd_offline.synth.machines.gearbox import gearbox
from asd_offline.synth.machines.motor import conveyor, toy_car, toy_tank, toy_train
from asd_offline.synth.machines.pump import pump
from asd_offline.synth.machines.rotor import drone, fan, vacuum
from asd_offline.synth.machines.slider import slider
from asd_offline.synth.machines.tools import bandsaw, grinder, shaker
from asd_offline.synth.machines.valve import valve

MACHINES: dict[str, Callable[[MachineRun], MachineSound]] = {
    "fan": fan,
    "pump": pump,
    "slider": slider,
    "valve": valve,
    "gearbox": gearbox,
    "bearing": bearing,
    "ToyCar": toy_car,
    "ToyConveyor": conveyor,
    "ToyTrain": toy_train,
    "ToyNscale": toy_train,
    "ToyTank": toy_tank,
    "ToyDrone": drone,
    "Vacuum": vacuum,
    "bandsaw": bandsaw,
    "grinder": grinder,
    "shaker": shaker,
}
"""Every machine type of the challenges in ``CHALLENGES``."""

MACHINE_FAULTS: dict[str, tuple[str, ...]] = {
    "fan": ("imbalance", "rubbing", "rattle", "impacts", "missing_band"),
    "pump": ("hiss", "missing_band", "impacts", "rattle", "imbalance"),
    "slider": ("rubbing", "rattle", "impacts", "squeal"),
    "valve": ("hiss", "rattle", "missing_band", "whine"),
    "gearbox": ("impacts", "whine", "imbalance", "rubbing"),
    "bearing": ("impacts", "rubbing", "whine", "imbalance"),
    "ToyCar": ("rattle", "squeal", "rubbing", "whine"),
    "ToyConveyor": ("squeal", "rattle", "rubbing", "impacts"),
    "ToyTrain": ("rattle", "squeal", "impacts", "whine"),
    "ToyNscale": ("rattle", "squeal", "impacts", "rubbing"),
    "ToyTank": ("rattle", "rubbing", "squeal", "missing_band"),
    "ToyDrone": ("imbalance", "whine", "rattle", "missing_band"),
    "Vacuum": ("hiss", "missing_band", "whine", "rattle"),
    "bandsaw": ("squeal", "rattle", "imbalance", "impacts"),
    "grinder": ("imbalance", "impacts", "whine", "rattle"),
    "shaker": ("rattle", "impacts", "rubbing", "missing_band"),
}
"""Kinds of fault (keys of ``FAULTS``) of each machine type."""
