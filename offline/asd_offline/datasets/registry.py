"""The years that can be read and downloaded, and how later ones are recognised."""

from asd_offline.datasets.challenge import Challenge
from asd_offline.datasets.layouts.dcase2020 import DCASE2020
from asd_offline.datasets.layouts.dcase2021 import DCASE2021
from asd_offline.datasets.layouts.dcase2022 import DCASE2022
from asd_offline.datasets.layouts.dcase2023 import DCASE2023

CHALLENGES: dict[int, Challenge] = {
    2020: DCASE2020,
    2021: DCASE2021,
    2022: DCASE2022,
    2023: DCASE2023,
}

LATER_MACHINES: dict[str, int] = {
    **dict.fromkeys(
        [
            "3DPrinter",
            "AirCompressor",
            "BrushlessMotor",
            "HairDryer",
            "HoveringDrone",
            "RoboticArm",
            "Scanner",
            "ToothBrush",
            "ToyCircuit",
        ],
        2024,
    ),
    **dict.fromkeys(
        [
            "AutoTrash",
            "BandSealer",
            "CoffeeGrinder",
            "HomeCamera",
            "Polisher",
            "ScrewFeeder",
            "ToyPet",
            "ToyRCCar",
        ],
        2025,
    ),
}
"""Machine types of years that this program does not read, with the first year that has them."""

KNOWN_MACHINES: dict[str, str] = {
    machine.lower(): machine
    for machine in (*(m for year in CHALLENGES.values() for m in year.machines), *LATER_MACHINES)
}
"""Official spelling by lower-case name."""
