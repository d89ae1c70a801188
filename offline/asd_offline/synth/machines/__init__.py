"""Physical models of machines, one family per file: from a run to its sound at close range."""

from collections.abc import Callable

from asd_offline.synth.machine_run import MachineRun, MachineSound
from asd_offline.synth.machines.bearing import bearing
from asd_offline.synth.machines.gearbox import gearbox
from asd_offline.synth.machines.motor import conveyor, toy_car, toy_tank, toy_train
from asd_offline.synth.machines.pump import pump
from asd_offline.synth.machines.rotor import drone, fan, vacuum
from asd_offline.synth.machines.sewing_machine import sewing_machine
from asd_offline.synth.machines.slider import slider
from asd_offline.synth.machines.stepper import stepper
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
    "3DPrinter": stepper,
    "AirCompressor": pump,
    "BrushlessMotor": toy_car,
    "HairDryer": vacuum,
    "HoveringDrone": drone,
    "RoboticArm": slider,
    "Scanner": stepper,
    "ToothBrush": shaker,
    "ToyCircuit": toy_train,
    "AutoTrash": slider,
    "BandSealer": conveyor,
    "CoffeeGrinder": grinder,
    "HomeCamera": stepper,
    "Polisher": grinder,
    "ScrewFeeder": shaker,
    "ToyPet": toy_tank,
    "ToyRCCar": toy_car,
    "ToyCarEmu": toy_car,
    "bearingEmu": bearing,
    "gearboxEmu": gearbox,
    "sliderEmu": slider,
    "valveEmu": valve,
    "BlowerDustCollector": vacuum,
    "Sander": grinder,
    "SewingMachine": sewing_machine,
}
"""Every machine type of the challenges in ``CHALLENGES``; related types share a model."""

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
    "3DPrinter": ("rubbing", "squeal", "rattle", "whine"),
    "AirCompressor": ("hiss", "rattle", "impacts", "missing_band"),
    "BrushlessMotor": ("whine", "rubbing", "imbalance", "rattle"),
    "HairDryer": ("hiss", "missing_band", "whine", "rattle"),
    "HoveringDrone": ("imbalance", "whine", "rattle", "missing_band"),
    "RoboticArm": ("rubbing", "squeal", "impacts", "rattle"),
    "Scanner": ("rubbing", "squeal", "rattle", "impacts"),
    "ToothBrush": ("rattle", "missing_band", "whine", "rubbing"),
    "ToyCircuit": ("rattle", "squeal", "impacts", "rubbing"),
    "AutoTrash": ("rubbing", "squeal", "rattle", "impacts"),
    "BandSealer": ("squeal", "rattle", "rubbing", "impacts"),
    "CoffeeGrinder": ("impacts", "rattle", "whine", "missing_band"),
    "HomeCamera": ("rubbing", "squeal", "whine", "rattle"),
    "Polisher": ("imbalance", "rubbing", "whine", "rattle"),
    "ScrewFeeder": ("impacts", "rattle", "rubbing", "missing_band"),
    "ToyPet": ("rattle", "squeal", "rubbing", "missing_band"),
    "ToyRCCar": ("rattle", "squeal", "rubbing", "whine"),
    "ToyCarEmu": ("rattle", "squeal", "rubbing", "whine"),
    "bearingEmu": ("impacts", "rubbing", "whine", "imbalance"),
    "gearboxEmu": ("impacts", "whine", "imbalance", "rubbing"),
    "sliderEmu": ("rubbing", "rattle", "impacts", "squeal"),
    "valveEmu": ("hiss", "rattle", "missing_band", "whine"),
    "BlowerDustCollector": ("hiss", "missing_band", "whine", "rattle"),
    "Sander": ("imbalance", "impacts", "whine", "rattle"),
    "SewingMachine": ("impacts", "rattle", "squeal", "rubbing"),
}
"""Kinds of fault (keys of ``FAULTS``) of each machine type."""
